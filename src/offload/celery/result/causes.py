"""Why a task never ran: a task before it in its chain, or in the header of its chord, failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from offload.celery.encoding.arguments import KEY
from offload.lifecycle import JobState
from offload.serialization import decode

if TYPE_CHECKING:
    from offload.backends.base import OffloadBackend
    from offload.models import Job


class Cause(NamedTuple):
    """What failed before a task.

    Attributes:
        job: the id of the job that failed.
        is_joined: whether it is part of the header of a chord whose body comes before the task, or
            is the task.
    """

    job: UUID
    is_joined: bool


def may_have_cause(job: Job) -> bool:
    """Return whether a job may have been cancelled because of another one.

    A job that waits is cancelled at once if its caller asks for it; both look the same in its row,
    so only what came before it tells.
    """
    is_part = job.workflow is not None
    return is_part and job.state == JobState.CANCELLED and job.cancel_requested_at is None


def find_cause(backend: OffloadBackend, job: Job) -> Cause | None:
    """Return what failed before a job that was cancelled; None if nothing did.

    Args:
        backend: of the job.
        job: its row.
    """
    cancelled, level = {job.pk}, [job.pk]
    while level:
        before = backend.unsuccessful_before(level)
        failed = [pk for pk, state in before if state != JobState.CANCELLED]
        if failed:
            return Cause(failed[0], any(map(_joins, backend.find(list(cancelled)))))
        level = [pk for pk, _ in before if pk not in cancelled]
        cancelled.update(level)
    return None


def _joins(job: Job) -> bool:
    """Return whether a job is the body of a chord."""
    _, kwargs = decode(job.arguments)
    return bool(kwargs.get(KEY, {}).get("joins"))
