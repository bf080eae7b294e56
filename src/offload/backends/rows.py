"""Between Django's words and our rows: a call becomes a row, a row becomes a result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks import Task
from django.utils import timezone

from offload.conf import BackendOptions
from offload.durations import seconds
from offload.lifecycle import JobState
from offload.ownership import current_ownership
from offload.progress import Progress
from offload.results import OffloadResult, canonical_id, make_result, task_errors
from offload.serialization import decode
from offload.store.records import NewJob
from offload.task_lookup import find_task_or_stub
from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    from offload.models import Attempt, Job

_UNTOLD = {
    JobState.CANCELLED: ("offload.exceptions.JobCancelled", "The job was cancelled."),
    JobState.EXPIRED: ("offload.exceptions.JobExpired", "The job expired before it began."),
}
"""Errors of jobs that ended without an attempt that could tell."""


class Enqueueing:
    """Makes the rows of jobs that are enqueued together.

    Args:
        task: the task, with the options of this enqueueing.
        backend: alias of the backend.
        options: the backend's options.
        key: from a job's id to what the database's driver takes.
    """

    def __init__(
        self,
        task: Task[..., Any],
        backend: str,
        options: BackendOptions,
        key: Callable[[UUID], str],
    ) -> None:
        self.task = task
        self.moment = datetime.now(UTC)
        run_after = _run_after(task, self.moment)
        self.state = JobState.READY if run_after <= self.moment else JobState.SCHEDULED
        expires = getattr(task, "expires", None)
        timeout = getattr(task, "timeout", None)
        at_most_once = getattr(task, "at_most_once", False)
        origin = current_ownership(options.tenant_getter)
        self._columns: dict[str, Any] = {
            "state": int(self.state),
            "backend": backend,
            "queue_name": task.queue_name,
            "priority": int(task.priority),
            "is_async": inspect.iscoroutinefunction(task.func),
            "task_path": task.module_path,
            "run_after": to_microseconds(run_after),
            "expires_at": expires
            and to_microseconds(run_after + timedelta(seconds=seconds(expires))),
            "enqueued_at": to_microseconds(self.moment),
            "timeout": seconds(timeout) if timeout is not None else options.timeout,
            "max_attempts": getattr(task, "max_attempts", None)
            or (1 if at_most_once else options.max_attempts),
            "owner": origin.owner,
            "tenant": origin.tenant,
            "request_id": origin.request_id,
            "parent": origin.parent and key(UUID(origin.parent)),
            "max_worker_losses": 0 if at_most_once else options.max_worker_losses,
        }
        self._enqueued_at = to_datetime(self._columns["enqueued_at"])

    def row(self, key: str, arguments: str) -> NewJob:
        """Return the row of one call; its arguments are JSON text."""
        return NewJob(id=key, arguments=arguments, **self._columns)

    def result(self, key: str, args: list[Any], kwargs: dict[str, Any]) -> OffloadResult[Any]:
        """Return the result of one call, whose arguments are exact JSON."""
        return make_result(
            task=self.task,
            id=canonical_id(key),
            state=self.state,
            status=self.state.status,
            enqueued_at=self._enqueued_at,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self._columns["backend"],
            errors=[],
            worker_ids=[],
        )


def result_of(job: Job, attempts: Sequence[Attempt]) -> OffloadResult[Any]:
    """Return what a row and its failed attempts say, whatever became of the code since."""
    state = JobState(job.state)
    deferred = job.run_after != job.enqueued_at and state == JobState.SCHEDULED
    args, kwargs = _arguments_of(job)
    failures = [(attempt.exception_class_path, attempt.traceback) for attempt in attempts]
    last_is_told = bool(attempts) and attempts[-1].fence == job.fence
    if state in _UNTOLD and not last_is_told:
        failures.append(_UNTOLD[state])
    workers = [str(attempt.worker) for attempt in attempts]
    if not last_is_told and job.fence and state in {JobState.RUNNING, JobState.SUCCESSFUL}:
        workers.append(str(job.worker))
    return make_result(
        task=find_task_or_stub(
            job.task_path,
            backend=job.backend,
            queue_name=job.queue_name,
            priority=job.priority,
            run_after=job.run_after if deferred else None,
        ),
        id=str(job.pk),
        state=state,
        status=state.status,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        last_attempted_at=job.last_attempted_at,
        args=args,
        kwargs=kwargs,
        backend=job.backend,
        errors=task_errors(failures),
        worker_ids=workers,
        progress=Progress.from_json(job.progress),
        _return_value=_return_value_of(job),
    )


def _arguments_of(job: Job) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments; none if somebody damaged the row, whose job will then fail."""
    try:
        args, kwargs = decode(job.arguments)
        return list(args), dict(kwargs)
    except (ValueError, TypeError, RecursionError):
        return [], {}


def _return_value_of(job: Job) -> Any:
    try:
        return None if job.return_value is None else decode(job.return_value)
    except (ValueError, RecursionError):
        return None


def _run_after(task: Task[..., Any], moment: datetime) -> datetime:
    """Return the time from which it may run: not before now, or it would overtake others."""
    wanted: Any = task.run_after
    if wanted is None:
        return moment
    if isinstance(wanted, timedelta):
        return moment + wanted
    return max(moment, timezone.make_aware(wanted) if timezone.is_naive(wanted) else wanted)
