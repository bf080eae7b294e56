"""One attempt at a job, as the task's code and the receivers of Django's signals see it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.tasks import Task, TaskContext, signals, task_backends
from django.tasks.exceptions import InvalidTaskBackend

from offload.codec import decode
from offload.conf import Options
from offload.context import CurrentJob, enter_job
from offload.exceptions import JobExpired
from offload.lifecycle import JobState, Outcome
from offload.moments import now_microseconds, to_datetime
from offload.registry import find_task, task_like, with_options
from offload.results import OffloadResult, canonical_id, make_result, task_errors
from offload.store.records import ClaimedJob

if TYPE_CHECKING:
    from django.dispatch import Signal

type IsCancelled = Callable[[], bool]

logger = logging.getLogger("offload.worker")


class Attempt:
    """The job's task and result, during one attempt. Making one raises nothing."""

    def __init__(self, job: ClaimedJob, is_cancelled: IsCancelled = bool) -> None:
        self.job = job
        self.is_cancelled = is_cancelled
        self.options, self._sender = _backend_of(job.backend)
        self._unreadable: Exception | None = None
        try:
            args, kwargs = decode(job.arguments)
            args, kwargs = list(args), dict(kwargs)
        except (ValueError, TypeError, RecursionError) as error:
            args, kwargs, self._unreadable = [], {}, error
        self.task: Task[..., Any] = task_like(
            job.task_path, backend=job.backend, queue_name=job.queue_name, priority=job.priority
        )
        self.result = _running(job, self.task, args, kwargs)

    def begin(self) -> None:
        """Make `current_job()` answer; raise what is wrong with the row.

        Raises:
            TaskNotFound: the task is gone; or what its module raises.
            JobExpired: the job is too old.
            ValueError: the row's arguments are no JSON.
        """
        job = self.job
        self.task = with_options(
            find_task(job.task_path),
            backend=job.backend,
            queue_name=job.queue_name,
            priority=job.priority,
        )
        if self._unreadable is not None:
            raise ValueError("The row's arguments cannot be read.") from self._unreadable
        is_first = job.attempt == 1 and not job.lost
        if is_first and job.expires_at is not None and job.expires_at < now_microseconds():
            raise JobExpired(f"The job expired at {to_datetime(job.expires_at):%Y-%m-%d %H:%M:%S}.")
        enter_job(CurrentJob(self.result.id, self.result.attempts, self.is_cancelled))

    @property
    def args(self) -> list[Any]:
        """The positional arguments to call the task with."""
        if self.task.takes_context:
            return [TaskContext(task_result=self.result), *self.result.args]
        return self.result.args

    def conclude(self, outcome: Outcome, value: Any = None) -> None:
        """Complete the result of a job that has ended."""
        state = JobState(outcome.state)
        result = self.result
        object.__setattr__(result, "state", state)
        object.__setattr__(result, "status", state.status)
        object.__setattr__(result, "finished_at", to_datetime(now_microseconds()))
        object.__setattr__(result, "_return_value", value)
        if outcome.failure is not None:
            path, _, traceback = outcome.failure
            result.errors.extend(task_errors([(path, traceback)]))

    def announce(self, signal: Signal) -> None:
        """Call the receivers of one of Django's signals. Raises nothing, whatever they do."""
        try:
            signal.send_robust(self._sender, task_result=self.result)
        except BaseException:
            logger.exception("A receiver failed for the job %s.", self.result.id)

    async def aannounce(self, signal: Signal) -> None:
        """Do what `announce` does, from an event loop: in a thread, as receivers use the ORM."""
        if _has_only_djangos(signal, self._sender):  # they write a log line: no thread for that
            self.announce(signal)
            return
        # Not `asend_robust`: in Django 6.0 its receivers do not see the current exception.
        await sync_to_async(self.announce)(signal)


def _has_only_djangos(signal: Signal, sender: type | None) -> bool:
    receivers, async_receivers = signal._live_receivers(sender)  # noqa: SLF001  # nothing public tells
    return not async_receivers and all(
        getattr(receiver, "__module__", "") == signals.__name__ for receiver in receivers
    )


def _backend_of(alias: str) -> tuple[Options, type | None]:
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend:  # removed from TASKS while the job waited
        return Options(), None
    return getattr(backend, "settings", None) or Options(), type(backend)


def _running(
    job: ClaimedJob, task: Task[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> OffloadResult:
    return make_result(
        task=task,
        id=canonical_id(job.id),
        state=JobState.RUNNING,
        status=JobState.RUNNING.status,
        enqueued_at=to_datetime(job.enqueued_at),
        started_at=to_datetime(job.started_at),
        finished_at=None,
        last_attempted_at=to_datetime(job.last_attempted_at),
        args=args,
        kwargs=kwargs,
        backend=job.backend,
        errors=task_errors((path, traceback) for _, path, traceback in job.previous),
        worker_ids=[*(worker for worker, _, _ in job.previous), canonical_id(job.worker)],
    )
