"""Pauses of queues."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend
from offload.backends.pauses import new_pause
from offload.backends.queue_names import require_queue
from offload.queues.status import QueueStatus, get


def pause(
    name: str,
    *,
    reason: str = "",
    until: datetime | timedelta | None = None,
    public: bool = False,
    changed_by: str = "",
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
) -> QueueStatus:
    """Let workers start no job of a queue, until somebody resumes it or the pause ends.

        queues.pause("mail", reason="The provider is down", until=timedelta(hours=1))

    Jobs that run already finish; new ones can be enqueued. A pause outlasts restarts. A second
    pause of the queue replaces the first.

    Args:
        name: of the queue.
        reason: why, for operators.
        until: when the pause ends by itself: a datetime, or a timedelta from now.
        public: whether the pages of waiting jobs show the reason, too.
        changed_by: the operator.
        backend: alias in TASKS.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
        TypeError, ValueError: for a bad argument.
    """
    task_backend = get_backend(backend)
    require_queue(task_backend, name)
    task_backend.pause_queue(name, new_pause(reason, until, public, changed_by))
    return get(name, backend=backend)


def resume(name: str, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> QueueStatus:
    """Let workers start the jobs of a queue again, at once; do nothing if it is not paused.

    Args:
        name: of the queue.
        backend: alias in TASKS.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
    """
    task_backend = get_backend(backend)
    require_queue(task_backend, name)
    task_backend.resume_queue(name)
    return get(name, backend=backend)
