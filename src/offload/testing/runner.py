"""Run enqueued jobs in the test's own thread and transaction."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from asgiref.sync import sync_to_async
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.asyncio import async_unsafe

from offload.backends.database import DatabaseBackend
from offload.conf import did_you_mean
from offload.lifecycle import WAITING, JobState, Outcome, released
from offload.results import OffloadResult, canonical_id
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimRequest
from offload.testing.execution import run_attempt
from offload.testing.jobs import InspectableBackend, find_rows, get_backend
from offload.timestamps import now_microseconds, to_datetime
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.models import Job
    from offload.testing.backends import RecordingBackend
    from offload.testing.recorded import RecordedJob

DEFAULT_LIMIT = 1000
"""Attempts after which the jobs are considered endless."""


class RunOptions(TypedDict, total=False):
    """The arguments of `run_jobs`."""

    queue_name: str | None
    backend: str
    include_scheduled: bool
    raise_errors: bool
    limit: int


@async_unsafe("run_jobs() would run tasks here: in async code await arun_jobs().")
def run_jobs(
    *,
    queue_name: str | None = None,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    include_scheduled: bool = False,
    raise_errors: bool = False,
    limit: int = DEFAULT_LIMIT,
) -> list[OffloadResult[Any]]:
    """Run the waiting jobs and those that they enqueue, as a worker would; most urgent first.

    Args:
        queue_name: run only jobs of this queue.
        backend: alias in TASKS.
        include_scheduled: when no other job is waiting, also run those that are not due yet
            (deferred, retried with a backoff, snoozed), in the order of their times.
        raise_errors: raise the exception of a job that fails.
        limit: attempts after which the jobs are considered endless.

    Returns:
        One result for each job, in the order in which they were started.

    Raises:
        AssertionError: if jobs are still waiting after `limit` attempts.
    """
    chosen = get_backend(backend)
    if queue_name is not None and chosen.queues and queue_name not in chosen.queues:
        hint = did_you_mean(queue_name, sorted(chosen.queues))
        raise ValueError(f"TASKS[{backend!r}] has no queue {queue_name!r}.{hint}")
    queue = _open_queue(chosen, queue_name, include_scheduled=include_scheduled)
    started: dict[str, None] = {}
    try:
        for _ in range(limit):
            job_id = queue.claim()
            if job_id is None:
                return _results(chosen, started)
            started[job_id] = None
            error = queue.run_claimed()
            if error is not None and raise_errors:
                raise error
        job_id = queue.claim()
        if job_id is not None:
            path = chosen.get_result(job_id).task.module_path
            raise AssertionError(
                f"After {limit} attempts {path} is still waiting. Does a job enqueue itself, or "
                "raise Snooze each time? If there are that many jobs, raise limit."
            )
    finally:
        queue.release()
    return _results(chosen, started)


async def arun_jobs(**options: Unpack[RunOptions]) -> list[OffloadResult[Any]]:
    """Do what `run_jobs` does."""
    return await sync_to_async(run_jobs, thread_sensitive=True)(**options)


class _Queue(Protocol):
    """The waiting jobs of a backend."""

    def claim(self) -> str | None:
        """Claim the most urgent job; return its id, or None if no job can be run."""

    def run_claimed(self) -> BaseException | None:
        """Run the claimed job; return why it failed."""

    def release(self) -> None:
        """Release the claimed job, if it was not run."""


class _DatabaseQueue:
    """Runs one attempt at a time, as a worker with one slot does."""

    def __init__(
        self, backend: DatabaseBackend, queue_name: str | None, *, include_scheduled: bool
    ) -> None:
        self._backend = backend
        self._queue_name = queue_name
        self._include_scheduled = include_scheduled
        self._store = get_store(backend.settings.database)
        self._worker = self._store.key(new_id())
        self._claimed: list[ClaimedJob] = []

    def claim(self) -> str | None:
        while not self._claimed:
            self._store.promote()
            queues = self._store.ready_queues(self._backend.alias)
            if self._queue_name is not None:
                queues = [name for name in queues if name == self._queue_name]
            request = ClaimRequest(self._backend.alias, queues, sync_slots=1, async_slots=1)
            if request:
                self._claimed = self._store.exchange(self._worker, [], request).claimed
            if not self._claimed and not self._run_next_scheduled_now():
                return None
        return canonical_id(self._claimed[0].id)

    def run_claimed(self) -> BaseException | None:
        job = self._claimed.pop(0)
        outcome, error = run_attempt(job, self._store)
        if not outcome.written:
            self._finish([(job, outcome)])
        return error

    def release(self) -> None:
        if self._claimed:
            self._finish([(job, released()) for job in self._claimed])

    def _finish(self, finished: list[tuple[ClaimedJob, Outcome]]) -> None:
        self._store.exchange(self._worker, finished, ClaimRequest(self._backend.alias, ()))

    def _run_next_scheduled_now(self) -> bool:
        """Make the next scheduled job ready, as if the time until then had passed."""
        if not self._include_scheduled:
            return False
        columns: dict[str, Any] = {"state": JobState.SCHEDULED}
        if self._queue_name is not None:
            columns["queue_name"] = self._queue_name
        scheduled = find_rows(self._backend, **columns)
        if not scheduled:
            return False
        return self._store.run_now(min(scheduled, key=attrgetter("run_after", "pk")).pk)


class _RecordedQueue:
    """Runs all attempts of a recorded job at once."""

    def __init__(
        self, backend: RecordingBackend, queue_name: str | None, *, include_scheduled: bool
    ) -> None:
        self._alias = backend.alias
        self._queue_name = queue_name
        self._include_scheduled = include_scheduled
        self._claimed: RecordedJob | None = None

    def claim(self) -> str | None:
        from offload.testing.recorded import jobs_of  # noqa: PLC0415  # needs the app registry

        waiting = [job for job in jobs_of(self._alias) if self._is_waiting(job.row)]
        due = [job for job in waiting if _is_due(job.row)]
        self._claimed = None
        if due:
            self._claimed = min(due, key=lambda job: _urgency(job.row))
        elif waiting and self._include_scheduled:
            self._claimed = min(waiting, key=attrgetter("row.run_after", "row.pk"))
        return None if self._claimed is None else str(self._claimed.row.pk)

    def run_claimed(self) -> BaseException | None:
        return None if self._claimed is None else self._claimed.run()

    def release(self) -> None:
        self._claimed = None

    def _is_waiting(self, row: Job) -> bool:
        return row.state in WAITING and self._queue_name in {None, row.queue_name}


def _is_due(row: Any) -> bool:
    return bool(row.run_after <= to_datetime(now_microseconds()))


def _urgency(row: Job) -> tuple[Any, ...]:
    return (-row.priority, row.run_after, row.pk)


def _open_queue(
    backend: InspectableBackend, queue_name: str | None, *, include_scheduled: bool
) -> _Queue:
    if isinstance(backend, DatabaseBackend):
        return _DatabaseQueue(backend, queue_name, include_scheduled=include_scheduled)
    return _RecordedQueue(backend, queue_name, include_scheduled=include_scheduled)


def _results(backend: InspectableBackend, job_ids: Iterable[str]) -> list[OffloadResult[Any]]:
    results = []
    for job_id in job_ids:
        with suppress(TaskResultDoesNotExist):  # a job may delete jobs
            results.append(backend.get_result(job_id))
    return results
