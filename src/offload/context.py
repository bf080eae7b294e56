"""What a running task can ask about itself, from any depth of its code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from offload.exceptions import OffloadError


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that runs here.

    Attributes:
        id: the result's id.
        attempt: 1 for the first try.
        is_cancelled: tells whether somebody asked for the job to be cancelled.
    """

    id: str
    attempt: int
    is_cancelled: Callable[[], bool]


_current: ContextVar[CurrentJob | None] = ContextVar("offload_current_job", default=None)


def enter_job(job: CurrentJob) -> None:
    """Make `current_job()` answer in this context, which ends with the attempt."""
    _current.set(job)


def current_job() -> CurrentJob:
    """Return the job that runs in this thread or coroutine.

    Raises:
        OffloadError: outside a running task.
    """
    job = _current.get()
    if job is None:
        raise OffloadError("current_job() was called outside a running task.")
    return job


def is_cancelled() -> bool:
    """Tell whether the running job should stop; False outside a task."""
    job = _current.get()
    return job is not None and job.is_cancelled()
