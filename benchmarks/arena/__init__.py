"""The harness of `peers.py`."""
