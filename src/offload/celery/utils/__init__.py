"""`offload.celery.utils`, under Celery's name."""

from __future__ import annotations

from uuid import uuid4


def uuid() -> str:
    """Return a random id, for callers that choose the ids of their tasks."""
    return str(uuid4())
