"""The harness of `peers.py`: task queues, measured in the same way."""
