"""One attempt at a job, as the task's code and the receivers of Django's signals see it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, cached_property, lru_cache, partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.tasks import Task, TaskContext, task_backends
from django.tasks.exceptions import InvalidTaskBackend
from django.tasks.signals import task_finished, task_started

from offload.backends.base import OffloadBackend
from offload.conf import BackendOptions
from offload.context import CurrentJob, enter_job
from offload.exceptions import JobExpired
from offload.lifecycle import JobState, Outcome
from offload.ownership import Ownership, set_ownership_source
from offload.progress import OnProgress, ProgressReporter, ignore_progress
from offload.results import OffloadResult, canonical_id, make_result, task_errors
from offload.serialization import decode
from offload.signal_receivers import has_no_receivers, has_only_django_receivers
from offload.store.records import ClaimedJob
from offload.task_lookup import find_task_for_job, find_task_or_stub
from offload.timestamps import now_microseconds, to_datetime

if TYPE_CHECKING:
    from django.dispatch import Signal

type IsCancelled = Callable[[], bool]

logger = logging.getLogger("offload.worker")


class JobRun:
    """The job's task, its arguments and its result, during one attempt. Making one raises nothing.

    Attributes:
        job: the job, claimed.
        is_cancelled: tells whether somebody asked for the job to be cancelled.
        on_progress: called with the reporter of the attempt when it moved.
        reporter: how far it is; None until the task says so.
        task: its task, or what stands in for one that is gone.
        args, kwargs: what it was enqueued with.
    """

    reporter: ProgressReporter | None = None

    def __init__(
        self,
        job: ClaimedJob,
        is_cancelled: IsCancelled = bool,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        self.job = job
        self.is_cancelled = is_cancelled
        self.on_progress = on_progress
        self.options, self._sender = _backend_of(job.backend)
        self._problem: BaseException | None = None
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        try:
            args, kwargs = decode(job.arguments)
            self.args, self.kwargs = list(args), dict(kwargs)
        except (ValueError, TypeError, RecursionError) as error:
            self._problem = ValueError("The row's arguments cannot be read.")
            self._problem.__cause__ = error
        self.task = self._find_task()

    @property
    def id(self) -> str:
        """The job's id as results show it."""
        return canonical_id(self.job.id)

    @cached_property
    def result(self) -> OffloadResult[Any]:
        """The job as receivers, backoffs and tasks that take their context see it.

        It is made when somebody asks for it: for most short jobs nobody does.
        """
        return _running(self.job, self.task, self.args, self.kwargs)

    def begin(self) -> None:
        """Make `current_job()` answer; raise what is wrong with the row.

        Raises:
            TaskNotFound: the task is gone; or what its module raises.
            JobExpired: the job is too old.
            ValueError: the row's arguments are no JSON.
        """
        if self._problem is not None:
            raise self._problem
        job = self.job
        is_first = job.attempt == 1 and not job.worker_losses
        if is_first and job.expires_at is not None and job.expires_at < now_microseconds():
            raise JobExpired(f"The job expired at {to_datetime(job.expires_at):%Y-%m-%d %H:%M:%S}.")
        enter_job(self)
        set_ownership_source(self.ownership)

    def current_job(self) -> CurrentJob:
        """Return what the task may know of it."""
        return CurrentJob(self.id, len(self.job.previous) + 1, self.is_cancelled)

    def open_reporter(self) -> ProgressReporter:
        """Make the reporter; one, although threads of the task may ask for it at once."""
        reporter: ProgressReporter = self.__dict__.setdefault(
            "reporter", ProgressReporter(self.job.key, self.on_progress)
        )
        return reporter

    def ownership(self, _tenant: str = "") -> Ownership:
        """Return what the jobs inherit that this one enqueues."""
        job = self.job
        return Ownership(job.owner, job.tenant, job.request_id, self.id)

    def call(self) -> Any:
        """Do what `Task.call` does, which finds out anew each time if the function is async."""
        task = self.task
        is_plain = type(task).call is _CALL and not _is_async(task.func)
        call = task.func if is_plain else task.call
        return call(*self._context, *self.args, **self.kwargs)

    async def acall(self) -> Any:
        """Do what `Task.acall` does, in the same way."""
        task = self.task
        is_plain = type(task).acall is _ACALL and _is_async(task.func)
        call = task.func if is_plain else task.acall
        return await call(*self._context, *self.args, **self.kwargs)

    def announce_start(self) -> None:
        """Call the receivers of Django's `task_started`. Raises nothing, whatever they do."""
        self._announce(task_started, logging.INFO)

    def announce_end(self, outcome: Outcome) -> None:
        """Complete the result and call the receivers of Django's `task_finished`, in the same way.

        A failure is announced while its exception is the current one: Django's own receiver logs
        it.
        """
        level = logging.INFO if outcome.failure is None else logging.ERROR
        self._announce(task_finished, level, outcome)

    async def aannounce_start(self) -> None:
        """Do what `announce_start` does, from an event loop."""
        await self._aannounce(self.announce_start, task_started)

    async def aannounce_end(self, outcome: Outcome) -> None:
        """Do what `announce_end` does, from an event loop."""
        await self._aannounce(partial(self.announce_end, outcome), task_finished)

    async def _aannounce(self, announce: Callable[[], None], signal: Signal) -> None:
        """Announce in a thread, as receivers use the ORM; Django's only write a log line."""
        if has_only_django_receivers(signal):
            announce()
        else:
            # Not `asend_robust`: in Django 6.0 its receivers do not see the current exception.
            await sync_to_async(announce)()

    def _announce(self, signal: Signal, level: int, outcome: Outcome | None = None) -> None:
        try:
            if has_no_receivers(signal, level):
                return
            if outcome is not None:
                self._conclude(outcome)
            signal.send_robust(self._sender, task_result=self.result)
        except BaseException:
            logger.exception("A receiver failed for the job %s.", self.id)

    def _conclude(self, outcome: Outcome) -> None:
        """Complete the result of a job that has ended."""
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
        except BaseException as error:  # noqa: BLE001  # modules raise what they like
            self._problem = error
            return find_task_or_stub(
                job.task_path, backend=job.backend, queue_name=job.queue_name, priority=job.priority
            )

    @property
    def _context(self) -> tuple[TaskContext[..., Any], ...]:
        """What the task gets before its arguments."""
        return (TaskContext(task_result=self.result),) if self.task.takes_context else ()


_is_async = lru_cache(maxsize=1000)(iscoroutinefunction)
_CALL, _ACALL = Task.call, Task.acall
"""Of a task that has none of its own, which may do more than to call the function."""


# Each context has backends of its own, and a job has a context of its own: making one would
# cost more than many a task.
@cache
def _backend_of(alias: str) -> tuple[BackendOptions, type | None]:
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend:  # removed from TASKS while the job waited
        return BackendOptions(), None
    options = backend.settings if isinstance(backend, OffloadBackend) else BackendOptions()
    return options, type(backend)


@receiver(setting_changed)
def _forget_backends(*, setting: str, **_: Any) -> None:
    if setting == "TASKS":
        _backend_of.cache_clear()


def _running(
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
        started_at=last_attempted_at if is_first else to_datetime(job.started_at),
        finished_at=None,
        last_attempted_at=last_attempted_at,
        args=args,
        kwargs=kwargs,
        backend=job.backend,
        errors=task_errors((path, traceback) for _, path, traceback in job.previous),
        worker_ids=[*(worker for worker, _, _ in job.previous), canonical_id(job.worker)],
    )
