"""One attempt at a job: its task, arguments and result, and the signals about it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import cache, cached_property, lru_cache
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol

from django.core.signals import setting_changed
from django.db import DatabaseError, InterfaceError
from django.dispatch import receiver
from django.tasks import Task, TaskContext, task_backends
from django.tasks.exceptions import InvalidTaskBackend
from django.tasks.signals import task_finished, task_started

from offload.backends.base import OffloadBackend
from offload.conf import BackendOptions
from offload.context import CurrentJob, enter_job
from offload.exceptions import (
    JobExpired,
    PartsFailed,
    TaskNotFound,
    UserFacingError,
    current_timeout,
)
from offload.lifecycle import JobState, Outcome
from offload.ownership import Cause, Ownership, set_ownership_source
from offload.progress import OnProgress, ProgressReporter, ignore_progress
from offload.results import OffloadResult, canonical_id, make_result, task_errors
from offload.serialization import decode
from offload.signal_receivers import has_no_receivers
from offload.store.records import ClaimedJob, EndedJob
from offload.store.workflow_records import REFERENCE, NewParts, NewWorkflow
from offload.task_log import foreseen
from offload.task_lookup import find_task_for_job, find_task_or_stub
from offload.timestamps import now_microseconds, to_datetime
from offload.worker.execution.sqlite_connections import SQLiteChanges

if TYPE_CHECKING:
    from datetime import datetime

    from django.dispatch import Signal

type IsCancelled = Callable[[], bool]
"""Returns whether cancellation of the job was requested."""

logger = logging.getLogger("offload.worker")


def never_cancelled() -> bool:
    """Return False: the `IsCancelled` of a job that nothing can cancel."""
    return False


class ResultsUnread(Exception):
    """The database failed while the results were read to which the arguments refer."""


class ResultReader(Protocol):
    """The method of the store that reads the results of other parts of a workflow."""

    def fill_in(self, job: str, value: Any, *, max_size: int, of_arguments: bool) -> Any: ...


class Additions(Protocol):
    """The jobs that the success of a task inserts.

    They are the parts that it adds to its workflow, as `current_workflow()` collects them, or a
    workflow that goes on where the task of a job without one has ended.
    """

    def complete(self, value: Any) -> tuple[NewParts | NewWorkflow | None, Any]:
        """Return the rows of the jobs, and the task's return value with references to results."""


class JobRun:
    """A job during one attempt: its task, arguments, result and progress.

    Creating one raises nothing: `start` raises the error of a job that cannot run.

    Attributes:
        job: the claimed job.
        is_cancelled: returns whether cancellation of the job was requested.
        on_progress: called with the reporter when the progress changed.
        reporter: the progress; None until the task reports some.
        import_error: what the import of the task's module raised.
        task: the task, or a stub if it cannot be found.
        args, kwargs: the arguments it was enqueued with.
        additions: the jobs that the success of the task inserts; None without any.
        new_parts: their rows, once the task has returned.
        is_skipped: whether what waits for the result of this part is skipped.
        ended: jobs of its workflow that ended when the executor stored its outcome.
        will_be_called_again: whether the task is called again at once if it raises an exception.
    """

    reporter: ProgressReporter | None = None
    import_error: BaseException | None = None
    additions: Additions | None = None
    new_parts: NewParts | NewWorkflow | None = None
    is_skipped: bool = False
    ended: Sequence[EndedJob] = ()
    _problem: BaseException | None = None
    _has_succeeded: bool | None = None

    def __init__(
        self,
        job: ClaimedJob,
        is_cancelled: IsCancelled = never_cancelled,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        self.job = job
        self.is_cancelled = is_cancelled
        self.on_progress = on_progress
        self.will_be_called_again: Callable[[Exception], bool] = lambda _: False
        self.options, self._sender = _options_and_sender(job.backend)
        try:
            args, kwargs = decode(job.arguments)
            self.args, self.kwargs = list(args), dict(kwargs)
        except (ValueError, TypeError, RecursionError) as error:
            self.args, self.kwargs = [], {}
            self._problem = ValueError("The row's arguments cannot be read.")
            self._problem.__cause__ = error
        self.task = self._find_task()

    @property
    def id(self) -> str:
        """The job's id as results show it."""
        return canonical_id(self.job.id)

    @property
    def backend(self) -> str:
        """The alias of the job's backend."""
        return self.job.backend

    @property
    def workflow(self) -> str | None:
        """The id of its workflow as results show it; None without one."""
        return None if self.job.workflow is None else canonical_id(self.job.workflow)

    @cached_property
    def result(self) -> OffloadResult[Any]:
        """The job as receivers, backoffs and tasks with a context see it.

        Created on first use, as most short jobs need none.
        """
        return _make_running_result(self.job, self.task, self.args, self.kwargs)

    @cached_property
    def sqlite_changes(self) -> SQLiteChanges:
        """What the task has changed on SQLite. It is created once, as `open_reporter` does it."""
        changes: SQLiteChanges = self.__dict__.setdefault("sqlite_changes", SQLiteChanges())
        return changes

    def enter(self) -> None:
        """Set this context's `current_job()` and the ownership of jobs that are enqueued in it."""
        set_ownership_source(self.ownership)
        enter_job(self)

    def start(self) -> None:
        """Enter the job, and check whether it can run.

        Raises:
            TaskNotFound: the task does not exist; or an exception of its module's import.
            JobExpired: the job is too old to start.
            ValueError: the row's arguments cannot be read.
        """
        self.enter()  # first: receivers are also called for a job that cannot run
        job = self.job
        # A lost or released attempt does not count: maybe its function was never entered.
        if job.attempt == 1 and job.expires_at is not None and job.expires_at < now_microseconds():
            raise JobExpired(f"The job expired at {to_datetime(job.expires_at):%Y-%m-%d %H:%M:%S}.")
        if self._problem is not None:
            raise self._problem
        if job.timeout is not None:
            current_timeout.set(job.timeout)

    @property
    def refers_to_results(self) -> bool:
        """Whether results of other parts of its workflow are to stand in its arguments."""
        return self.job.workflow is not None and REFERENCE in self.job.arguments

    def fill_in_results(self, store: ResultReader) -> None:
        """Put the results of other parts into the arguments.

        Raises:
            InvalidArguments: if they are too large.
            ResultsUnread: if the database fails.
        """
        max_size = self.options.max_arguments_size
        value = [self.args, self.kwargs]
        try:
            value = store.fill_in(self.job.id, value, max_size=max_size, of_arguments=True)
        except (DatabaseError, InterfaceError) as error:
            raise ResultsUnread(str(error).strip()) from error
        self.args, self.kwargs = value

    def current_job(self) -> CurrentJob:
        """Return what `current_job()` returns to the task."""
        job = self.job
        return CurrentJob(
            id=self.id,
            task_path=job.task_path,
            queue_name=job.queue_name,
            attempt=len(job.previous) + 1,
            max_attempts=job.max_attempts,
            enqueued_at=to_datetime(job.enqueued_at),
            started_at=_moment(job.started_at),
            owner=job.owner,
            tenant=job.tenant,
            request_id=job.request_id,
            is_cancelled=self.is_cancelled,
            scheduled_for=_moment(job.scheduled_for),
        )

    def open_reporter(self) -> ProgressReporter:
        """Return the reporter. It is created once, also if several threads call at once."""
        reporter: ProgressReporter = self.__dict__.setdefault(
            "reporter", ProgressReporter(self.job.key, self.on_progress)
        )
        return reporter

    def ownership(self, _tenant: str = "") -> Ownership:
        """Return the ownership that jobs enqueued by this one inherit."""
        job = self.job
        cause = Cause(job.task_path, job.failure_depth, self._has_succeeded)
        return Ownership(job.owner, job.tenant, job.request_id, self.id, cause)

    def call(self) -> Any:
        """Call the function directly where possible, as `Task.call` inspects it each time."""
        task, self.is_skipped = self.task, False
        is_plain = type(task).call is _CALL and not _is_async(task.func)
        call = task.func if is_plain else task.call
        return call(*self._context, *self.args, **self.kwargs)

    async def acall(self) -> Any:
        """Call the function directly where possible, as `Task.acall` inspects it each time."""
        task, self.is_skipped = self.task, False
        is_plain = type(task).acall is _ACALL and _is_async(task.func)
        call = task.func if is_plain else task.acall
        return await call(*self._context, *self.args, **self.kwargs)

    def announce_start(self) -> None:
        """Call the receivers of Django's `task_started`, and log their exceptions."""
        self._announce(task_started, logging.INFO)

    def announce_finish(self, outcome: Outcome) -> None:
        """Complete the result, call the receivers of `task_finished` and log their exceptions.

        Call it while the exception of a failed job is being handled: Django's receiver logs it.
        """
        self._has_succeeded = outcome.state == JobState.SUCCESSFUL
        expected = (UserFacingError, *getattr(self.task, "throws", ()))
        if outcome.state == JobState.CANCELLED or isinstance(sys.exception(), expected):
            with foreseen():
                self._announce(task_finished, logging.INFO, outcome)
            return
        level = logging.INFO if outcome.failure is None else logging.ERROR
        self._announce(task_finished, level, outcome)

    def announce_end(self, result: OffloadResult[Any]) -> None:
        """Call the receivers of `task_finished` for a job that has ended without an attempt.

        That parts of a workflow failed is foreseen: each of them was logged when it did.

        Args:
            result: the job as it is now.
        """
        self.__dict__["result"] = result
        self._has_succeeded = result.state in {JobState.SUCCESSFUL, JobState.SKIPPED}
        is_foreseen = result.state == JobState.CANCELLED or isinstance(sys.exception(), PartsFailed)
        with foreseen() if is_foreseen else nullcontext():
            self._announce(task_finished, log_level(result.state))

    def _announce(self, signal: Signal, level: int, outcome: Outcome | None = None) -> None:
        try:
            if has_no_receivers(signal, level):
                return
            if outcome is not None:
                self._complete_result(outcome)
            signal.send_robust(self._sender, task_result=self.result)
        except BaseException:
            with suppress(Exception):  # raised by a log handler, which may be what failed
                message = "Task id=%s path=%s: a receiver of its signals failed."
                logger.exception(message, self.id, self.job.task_path)

    def _complete_result(self, outcome: Outcome) -> None:
        state = JobState(outcome.state)
        result = self.result
        object.__setattr__(result, "state", state)
        object.__setattr__(result, "status", state.status)
        object.__setattr__(result, "finished_at", to_datetime(now_microseconds()))
        if outcome.return_value is not None:
            object.__setattr__(result, "_return_value", decode(outcome.return_value))
        if outcome.failure is not None:
            path, _, traceback = outcome.failure
            result.errors.extend(task_errors([(path, traceback)]))

    def _find_task(self) -> Task[..., Any]:
        job = self.job
        try:
            return find_task_for_job(job.task_path, job.backend, job.queue_name, job.priority)
        except BaseException as error:  # noqa: BLE001  # the import of a module may raise anything
            self._problem = error
            if not isinstance(error, TaskNotFound):
                self.import_error = error
            return find_task_or_stub(
                job.task_path, backend=job.backend, queue_name=job.queue_name, priority=job.priority
            )

    @property
    def _context(self) -> tuple[TaskContext[..., Any], ...]:
        """The task's leading argument, if it takes its context."""
        return (TaskContext(task_result=self.result),) if self.task.takes_context else ()


def log_level(state: int) -> int:
    """Return the level of the line that Django's receiver logs for a job that has finished."""
    return logging.ERROR if state in {JobState.FAILED, JobState.EXPIRED} else logging.INFO


_is_async = lru_cache(maxsize=1000)(iscoroutinefunction)
_CALL, _ACALL = Task.call, Task.acall
"""Methods that only call the function, unless the task's class overrides them."""


# Django creates the backends anew in each context, and each job has its own context: that would
# cost more than many tasks.
@cache
def _options_and_sender(alias: str) -> tuple[BackendOptions, type | None]:
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend:  # removed from TASKS while the job waited
        return BackendOptions(), None
    options = backend.settings if isinstance(backend, OffloadBackend) else BackendOptions()
    return options, type(backend)


@receiver(setting_changed)
def _forget_backends(*, setting: str, **_: Any) -> None:
    if setting == "TASKS":
        _options_and_sender.cache_clear()


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_datetime(microseconds)


def _make_running_result(
    job: ClaimedJob, task: Task[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> OffloadResult[Any]:
    last_attempted_at = to_datetime(job.last_attempted_at)
    is_first = job.started_at == job.last_attempted_at
    return make_result(
        task=task,
        id=canonical_id(job.id),
        state=JobState.RUNNING,
        status=JobState.RUNNING.status,
        enqueued_at=to_datetime(job.enqueued_at),
        started_at=last_attempted_at if is_first else _moment(job.started_at),
        finished_at=None,
        last_attempted_at=last_attempted_at,
        args=args,
        kwargs=kwargs,
        backend=job.backend,
        errors=task_errors((path, traceback) for _, path, traceback in job.previous),
        worker_ids=[*(worker for worker, _, _ in job.previous), canonical_id(job.worker)],
    )
