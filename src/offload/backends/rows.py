"""Conversion between Django's tasks and rows: from a call to a row, from a row to a result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.tasks import Task
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask
from django.utils import timezone

from offload.backends.calls import EncodedCall
from offload.backends.failure_loops import failure_depth
from offload.conf import BackendOptions
from offload.durations import seconds
from offload.lifecycle import CANCELLED_BY_REQUEST, JobState
from offload.ownership import current_ownership
from offload.progress import Progress
from offload.results import (
    OffloadResult,
    WorkflowResult,
    canonical_id,
    make_result,
    task_errors,
)
from offload.serialization import decode
from offload.store.limit_records import WAITS, KeyDetails, LimitNumbers
from offload.store.records import LimitedCallRow, NewJob, UniqueTerms
from offload.task_limits import LOADED_AT, limit_of
from offload.task_lookup import find_task_or_stub
from offload.task_unique import TaskUnique, unique_of
from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.store.limit_records import KeysToOpen

_TIMES = ("run_after", "expires_at", "enqueued_at")
"""Columns that the store writes as microseconds."""
_IDS = ("id", "parent")
"""Columns that the store writes as text."""
_MICROSECOND = timedelta(microseconds=1)
_ERRORS_WITHOUT_ATTEMPT = {
    JobState.CANCELLED: (CANCELLED_BY_REQUEST.class_path, CANCELLED_BY_REQUEST.traceback),
    JobState.EXPIRED: ("offload.exceptions.JobExpired", "The job expired before it was started."),
}
"""Class path and traceback of the error of a job that finished without a failed attempt."""


class CallKeys(NamedTuple):
    """The keys of calls of a task with a limit.

    Attributes:
        keys: of each call.
        details: what workers must know of each of these keys.
    """

    keys: list[str]
    details: KeysToOpen


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
        self.unique = unique_of(task)
        run_after = _run_after(task, now, self.unique)
        expires = getattr(task, "expires", None)
        expires_at = run_after + timedelta(seconds=seconds(expires)) if expires else None
        ownership = current_ownership(options.tenant_getter)
        max_attempts, max_worker_losses = attempt_limits(task, options)
        self.task = task
        self.limit = limit_of(task)
        waiting = JobState.READY if self.limit is None else JobState.LIMITED
        self.state = waiting if run_after <= now else JobState.SCHEDULED
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
            "timeout": attempt_timeout(task, options),
            "max_attempts": max_attempts,
            "max_worker_losses": max_worker_losses,
            "owner": ownership.owner,
            "tenant": ownership.tenant,
            "request_id": ownership.request_id,
            "parent": None if ownership.parent is None else key(UUID(ownership.parent)),
            "failure_depth": failure_depth(task, ownership, options.database),
        }
        self._enqueued_at = to_datetime(self._columns["enqueued_at"])

    @property
    def needs_room(self) -> bool:
        """Whether a full queue refuses the jobs.

        Work that has begun may end, so those that a job enqueues are let in, and scheduled jobs are
        not in the queue yet.
        """
        return self.state != JobState.SCHEDULED and self._columns["parent"] is None

    @property
    def replaces(self) -> bool:
        """Whether a call replaces the arguments of the waiting job that holds its key."""
        return self.unique is not None and self.unique.replaces

    @property
    def raises(self) -> bool:
        """Whether a call whose key another job holds is an error."""
        return self.unique is not None and self.unique.on_conflict == "raise"

    def unique_terms(self) -> UniqueTerms:
        """Return what is unique about the jobs."""
        unique = self.unique
        assert unique is not None  # noqa: S101  # its callers have checked it
        within = None if unique.within is None else unique.within // _MICROSECOND
        maximum = None if unique.maximum is None else unique.maximum // _MICROSECOND
        return UniqueTerms(
            int(unique.until),
            None if within is None else self._columns["enqueued_at"] + within,
            unique.replaces,
            maximum,
        )

    def unique_keys(self, calls: Sequence[EncodedCall]) -> list[str]:
        """Return the unique keys of calls.

        Raises:
            InvalidTask: if a key cannot be made of the arguments.
        """
        unique = self.unique
        assert unique is not None  # noqa: S101  # its callers have checked it
        tenant, owner = self._columns["tenant"], self._columns["owner"]
        keys: list[str] = []
        with _numbered(calls, keys):
            for _, args, kwargs in calls:
                keys.append(unique.key(args, kwargs, tenant=tenant, owner=owner))
        return keys

    def limit_keys(self, calls: Sequence[EncodedCall]) -> CallKeys | None:
        """Return the keys of calls, and what workers must know of them; None without a limit.

        Raises:
            InvalidTask: if a key cannot be made of the arguments.
        """
        if self.limit is None:
            return None
        columns = self._columns
        keys: list[str] = []
        details: KeysToOpen = {}
        with _numbered(calls, keys):
            for _, args, kwargs in calls:
                key = self.limit.key(args, kwargs, tenant=columns["tenant"], owner=columns["owner"])
                if key not in details:
                    details[key] = KeyDetails(
                        self.limit.name,
                        LimitNumbers(**self.limit.numbers).to_json(),
                        columns["backend"],
                        columns["queue_name"],
                        columns["is_async"],
                        self.limit.maximum(args, kwargs),
                        LOADED_AT,
                        self.limit.weight(args, kwargs),
                        columns["run_after"],
                    )
                keys.append(key)
        return CallKeys(keys, details)

    def limited_rows(
        self, jobs: Iterable[tuple[str, str]], keys: Iterable[str]
    ) -> list[LimitedCallRow]:
        """Return the rows of jobs, each with its id, arguments and key."""
        is_waiting = self.state == JobState.LIMITED
        return [
            (job, text, key, WAITS + key if is_waiting else None)
            for (job, text), key in zip(jobs, keys, strict=True)
        ]

    def row(self, key: str, arguments: str) -> NewJob:
        """Return the row of one job; its arguments are JSON text."""
        return NewJob(id=key, arguments=arguments, **self._columns)

    def result(
        self, key: str, args: list[Any], kwargs: dict[str, Any], *, is_new: bool = True
    ) -> OffloadResult[Any]:
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
            is_new=is_new,
        )


def job_of(new_job: NewJob, **columns: Any) -> Job:
    """Return a row that is to be inserted as the model has it.

    Args:
        new_job: the row.
        columns: other columns than those of `NewJob`.
    """
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    values = new_job._asdict()
    for name in _TIMES:
        if values[name] is not None:
            values[name] = to_datetime(values[name])
    for name in _IDS:
        if values[name] is not None:
            values[name] = UUID(values[name])
    return Job(**values, **columns)


@contextmanager
def _numbered(calls: Sized, done: Sized) -> Iterator[None]:
    """Add the number of a call to the error about its arguments, if there are several."""
    try:
        yield
    except InvalidTask as error:
        if len(calls) > 1:
            error.add_note(f"It is call {len(done)} of enqueue_many(), counted from 0.")
        raise


def attempt_limits(task: Task[..., Any], options: BackendOptions) -> tuple[int, int]:
    """Return a job's maximum of attempts and of worker losses.

    Django's own tasks set neither, so the backend's options apply.
    """
    if getattr(task, "at_most_once", False):
        return 1, 0
    max_attempts = getattr(task, "max_attempts", None)
    if max_attempts is None:
        max_attempts = options.max_attempts
    losses = getattr(task, "max_worker_losses", None)
    return max_attempts, options.max_worker_losses if losses is None else losses


def attempt_timeout(task: Task[..., Any], options: BackendOptions) -> float | None:
    """Return the seconds that an attempt of a job may run; None if there is no limit."""
    timeout = getattr(task, "timeout", None)
    return options.timeout if timeout is None else seconds(timeout)


def result_from_row(job: Job, attempts: Sequence[Attempt], alias: str = "") -> OffloadResult[Any]:
    """Return the result of a row and its failed attempts, even if the task no longer exists.

    Args:
        job: the row.
        attempts: the failed attempts.
        alias: of the backend that reads, cancels and waits for it; empty for that of the row.
    """
    state = JobState(job.state)
    is_deferred = state == JobState.SCHEDULED and job.run_after != job.enqueued_at
    args, kwargs = _arguments(job)
    return make_result(
        WorkflowResult if job.is_workflow else OffloadResult,
        task=find_task_or_stub(
            job.task_path,
            backend=alias or job.backend,
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
        progress=progress_of(job),
        _return_value=_return_value(job),
    )


def progress_of(job: Job) -> Progress | None:
    """Return the progress of a job; of a workflow how many of its parts have ended."""
    if not job.is_workflow:
        return Progress.from_json(job.progress)
    total = job.awaited or 0
    done = total - (job.waiting_on or 0)
    return Progress(done, total, "", None, job.finished_at or timezone.now())


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


def _run_after(task: Task[..., Any], now: datetime, unique: TaskUnique | None) -> datetime:
    """Return the time from which the job may run; not a past one, which would overtake others."""
    run_after: datetime | timedelta | None = task.run_after
    if unique is not None and unique.delay is not None:
        run_after = unique.delay
    if run_after is None:
        return now
    if isinstance(run_after, timedelta):
        return now + run_after
    if timezone.is_naive(run_after):
        run_after = timezone.make_aware(run_after)
    return max(now, run_after)
