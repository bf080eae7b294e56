"""Where a worker runs its jobs: in its own process, or in child processes."""
