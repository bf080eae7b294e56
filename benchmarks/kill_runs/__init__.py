"""Runs in which Celery workers are killed, and their brokers restarted and emptied."""
