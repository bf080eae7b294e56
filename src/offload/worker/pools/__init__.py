"""Where an engine has its jobs run: in this process, or in children."""
