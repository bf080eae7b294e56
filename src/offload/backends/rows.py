"""Conversion between Django's tasks and rows: from a call to a row, from a row to a result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks import Task
from django.tasks.base import TaskError
from django.utils import timezone

from offload.backends.failure_loops import failure_depth
from offload.conf import BackendOptions
from offload.durations import seconds
from offload.lifecycle import CANCELLED_BY_REQUEST, JobState
from offload.ownership import current_ownership
from offload.progress import Progress
from offload.results import OffloadResult, canonical_id, make_result, task_errors
from offload.serialization import decode
from offload.store.records import NewJob
from offload.task_lookup import find_task_or_stub
from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    from offload.models import Attempt, Job

_ERRORS_WITHOUT_ATTEMPT = {
    JobState.CANCELLED: (CANCELLED_BY_REQUEST.class_path, CANCELLED_BY_REQUEST.traceback),
    JobState.EXPIRED: ("offload.exceptions.JobExpired", "The job expired before it was started."),
}
"""Class path and traceback of the error of a job that finished without a failed attempt."""


class JobBatch:
    """The jobs of one call of `enqueue_many`: their common columns, rows and results.

    Args:
        task: the task, with the options of this call.
        backend: alias of the backend.
        options: the backend's options.
        key: converts a job's id to the value that the database's driver takes.
    """

    def __init__(
        self,
        task: Task[..., Any],
        backend: str,
        options: BackendOptions,
        key: Callable[[UUID], str],
    ) -> None:
        now = datetime.now(UTC)
        run_after = _run_after(task, now)
        expires = getattr(task, "expires", None)
        expires_at = run_after + timedelta(seconds=seconds(expires)) if expires else None
        timeout = getattr(task, "timeout", None)
        ownership = current_ownership(options.tenant_getter)
        max_attempts, max_worker_losses = attempt_limits(task, options)
        self.task = task
        self.state = JobState.READY if run_after <= now else JobState.SCHEDULED
        self._columns: dict[str, Any] = {
            "state": int(self.state),
            "backend": backend,
            "queue_name": task.queue_name,
            "priority": int(task.priority),
            "is_async": inspect.iscoroutinefunction(task.func),
            "task_path": task.module_path,
            "run_after": to_microseconds(run_after),
            "expires_at": None if expires_at is None else to_microseconds(expires_at),
            "enqueued_at": to_microseconds(now),
            "timeout": options.timeout if timeout is None else seconds(timeout),
            "max_attempts": max_attempts,
            "max_worker_losses": max_worker_losses,
            "owner": ownership.owner,
            "tenant": ownership.tenant,
            "request_id": ownership.request_id,
            "parent": None if ownership.parent is None else key(UUID(ownership.parent)),
            "failure_depth": failure_depth(task, ownership, options.database),
        }
        self._enqueued_at = to_datetime(self._columns["enqueued_at"])

    def row(self, key: str, arguments: str) -> NewJob:
        """Return the row of one job; its arguments are JSON text."""
        return NewJob(id=key, arguments=arguments, **self._columns)

    def result(self, key: str, args: list[Any], kwargs: dict[str, Any]) -> OffloadResult[Any]:
        """Return the result of one job, whose arguments are exact JSON."""
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


def attempt_limits(task: Task[..., Any], options: BackendOptions) -> tuple[int, int]:
    """Return a job's maximum of attempts and of worker losses.

    Django's own tasks set neither, so the backend's options apply.
    """
    if getattr(task, "at_most_once", False):
        return 1, 0
    max_attempts = getattr(task, "max_attempts", None)
    if max_attempts is None:
        max_attempts = options.max_attempts
    return max_attempts, options.max_worker_losses


def result_from_row(job: Job, attempts: Sequence[Attempt]) -> OffloadResult[Any]:
    """Return the result of a row and its failed attempts, even if the task no longer exists."""
    state = JobState(job.state)
    is_deferred = state == JobState.SCHEDULED and job.run_after != job.enqueued_at
    args, kwargs = _arguments(job)
    return make_result(
        task=find_task_or_stub(
            job.task_path,
            backend=job.backend,
            queue_name=job.queue_name,
            priority=job.priority,
            run_after=job.run_after if is_deferred else None,
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
        errors=_errors(job, state, attempts),
        worker_ids=_worker_ids(job, state, attempts),
        progress=Progress.from_json(job.progress),
        _return_value=_return_value(job),
    )


def _errors(job: Job, state: JobState, attempts: Sequence[Attempt]) -> list[TaskError]:
    failures = [(attempt.exception_class_path, attempt.traceback) for attempt in attempts]
    if state in _ERRORS_WITHOUT_ATTEMPT and not _has_last_attempt(job, attempts):
        failures.append(_ERRORS_WITHOUT_ATTEMPT[state])
    return task_errors(failures)


def _worker_ids(job: Job, state: JobState, attempts: Sequence[Attempt]) -> list[str]:
    """Return the workers of the failed attempts, and of the running or successful one."""
    workers = [str(attempt.worker) for attempt in attempts]
    has_run = state in {JobState.RUNNING, JobState.SUCCESSFUL} and job.fence > 0
    if has_run and not _has_last_attempt(job, attempts):
        workers.append(str(job.worker))
    return workers


def _has_last_attempt(job: Job, attempts: Sequence[Attempt]) -> bool:
    """Return whether the last of the failed attempts is the last attempt at the job."""
    return bool(attempts) and attempts[-1].fence == job.fence


def _arguments(job: Job) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments; none if the row is damaged, in which case the job will fail."""
    try:
        args, kwargs = decode(job.arguments)
        return list(args), dict(kwargs)
    except (ValueError, TypeError, RecursionError):
        return [], {}


def _return_value(job: Job) -> Any:
    """Return the return value; None if the row has none, or a damaged one."""
    try:
        return None if job.return_value is None else decode(job.return_value)
    except (ValueError, RecursionError):
        return None


def _run_after(task: Task[..., Any], now: datetime) -> datetime:
    """Return the time from which the job may run; not a past one, which would overtake others."""
    run_after: datetime | timedelta | None = task.run_after
    if run_after is None:
        return now
    if isinstance(run_after, timedelta):
        return now + run_after
    if timezone.is_naive(run_after):
        run_after = timezone.make_aware(run_after)
    return max(now, run_after)
