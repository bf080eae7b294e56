"""The ids of tasks: text of any kind in Celery, UUIDs in rows."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

_NAMESPACE = UUID("6f66666c-6f61-4463-8e65-6c6572790001")


def job_id(task_id: object) -> UUID:
    """Return the id of the job of a task.

    Args:
        task_id: a UUID as text in any notation, or other text, which is mapped to the same UUID
            each time.
    """
    text = str(task_id)
    try:
        return UUID(text)
    except ValueError:
        return uuid5(_NAMESPACE, text)


def uuid() -> str:
    """Return a random id, for callers that choose the ids of their tasks."""
    return str(uuid4())


def is_own_text(task_id: str) -> bool:
    """Return whether an id is text that the row cannot have as a UUID, so the call must keep it."""
    return str(job_id(task_id)) != task_id
