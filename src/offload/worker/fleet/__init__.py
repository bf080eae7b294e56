"""A worker inside each process of Celery's workers, which get messages about jobs."""
