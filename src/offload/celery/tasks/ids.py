"""The ids of tasks: text of any kind in Celery, UUIDs in rows."""

from __future__ import annotations

from uuid import uuid4

from offload.celery_results.ids import is_own_text, job_id

__all__ = ["is_own_text", "job_id", "uuid"]


def uuid() -> str:
    """Return a random id, for callers that choose the ids of their tasks."""
    return str(uuid4())
