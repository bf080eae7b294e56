"""`CeleryBackend`: jobs are rows, and Celery's workers get messages about them."""

from offload.backends.celery.backend import CeleryBackend

__all__ = ["CeleryBackend"]
