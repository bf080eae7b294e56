"""The harness of `coordination.py`: what must hold of jobs that depend on each other."""
