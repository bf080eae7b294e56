"""The ids of tasks and groups: text of any kind in Celery, UUIDs in rows."""

from __future__ import annotations

import socket
from functools import cache
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f66666c-6f61-4463-8e65-6c6572790001")


def job_id(task_id: object) -> UUID:
    """Return the id of the row of a task, or of a group.

    Args:
        task_id: a UUID as text in any notation, or other text, which is mapped to the same UUID
            each time.
    """
    text = str(task_id)
    try:
        return UUID(text)
    except ValueError:
        return uuid5(_NAMESPACE, text)


def is_own_text(task_id: str) -> bool:
    """Return whether an id is text that the row cannot have as a UUID, so that it is kept."""
    return str(job_id(task_id)) != task_id


@cache
def worker_id(hostname: str | None) -> str:
    """Return the id of a Celery worker, made of its name; without a name that of this host."""
    return str(uuid5(_NAMESPACE, f"worker {hostname or socket.gethostname()}"))
