"""The result backend `offload://`: plain Celery tasks have rows beside the jobs of the project."""
