"""Support for the demo: sample files, a mail server, a web server and a visitor."""
