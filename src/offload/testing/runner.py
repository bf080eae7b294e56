"""Runs enqueued jobs in the test's own thread and transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from asgiref.sync import sync_to_async
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.asyncio import async_unsafe

from offload.backends.changes import send_finished
from offload.backends.database import DatabaseBackend
from offload.backends.queue_guard import guard_of
from offload.lifecycle import JobState, Outcome, released
from offload.policies.queue_limits import QueueLimits, limits_in_force
from offload.results import OffloadResult, canonical_id
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest
from offload.testing.backends import RUNNABLE
from offload.testing.execution import run_attempt
from offload.testing.jobs import (
    InspectableBackend,
    find_rows,
    get_inspectable_backend,
    require_queue,
)
from offload.timestamps import now_microseconds, to_datetime
from offload.uuid7 import new_id
from offload.worker.execution.announcements import announce_ended

if TYPE_CHECKING:
    from offload.models import Job
    from offload.testing.backends import RecordingBackend

type _Claims = Generator[tuple[str, Callable[[], BaseException | None]]]
"""Ids of claimed jobs, each with a function that runs it and returns why it failed."""

DEFAULT_LIMIT = 1000
"""Maximum number of attempts of all jobs together."""


LEASE_SECONDS = 86_400
"""A test sends no heartbeat; until this has passed, no worker takes over its jobs."""


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
    """Run the waiting jobs, and those that they enqueue, in the order in which a worker would.

    Jobs of paused queues and tasks keep waiting.

    Args:
        queue_name: run only jobs of this queue.
        backend: alias in TASKS.
        include_scheduled: when no other job is waiting, also run those that are not due yet
            (deferred, retried with a backoff, snoozed), in the order of their times.
        raise_errors: raise the exception of a job that fails.
        limit: maximum number of attempts of all jobs together.

    Returns:
        One result for each job, in the order in which they were started.

    Raises:
        AssertionError: if jobs are still waiting after `limit` attempts.
    """
    task_backend = get_inspectable_backend(backend)
    require_queue(task_backend, queue_name)
    started: list[str] = []
    with closing(_claims(task_backend, queue_name, include_scheduled=include_scheduled)) as claims:
        for job_id, run in claims:
            if len(started) == limit:
                raise _limit_error(task_backend, job_id, limit)
            started.append(job_id)
            error = run()
            if error is not None and raise_errors:
                raise error
    return _results(task_backend, dict.fromkeys(started))


async def arun_jobs(**options: Unpack[RunOptions]) -> list[OffloadResult[Any]]:
    """Do what `run_jobs` does."""
    return await sync_to_async(run_jobs, thread_sensitive=True)(**options)


def _claims(
    backend: InspectableBackend, queue_name: str | None, *, include_scheduled: bool
) -> _Claims:
    if isinstance(backend, DatabaseBackend):
        return _DatabaseJobs(backend, queue_name, include_scheduled=include_scheduled).claim()
    return _claim_recorded(backend, queue_name, include_scheduled=include_scheduled)


class _DatabaseJobs:
    """Claims jobs of a database and runs one attempt at a time, as a worker does."""

    def __init__(
        self, backend: DatabaseBackend, queue_name: str | None, *, include_scheduled: bool
    ) -> None:
        self._backend = backend
        self._queue_name = queue_name
        self._include_scheduled = include_scheduled
        self._store = get_store(backend.settings.database)
        self._worker_id = new_id()
        self._worker = self._store.key(self._worker_id)
        self._claimed: list[ClaimedJob] = []
        self._paused: list[str] = []
        """The queues that are paused."""
        self._paused_tasks: dict[str, int] = {}
        """The ids of the pauses of tasks, by path."""
        self._limits: dict[str, QueueLimits] = {}
        """The limits of the settings of queues that have some in force, by name."""

    def claim(self) -> _Claims:
        """Yield the jobs as they are claimed; release those that were not run."""
        with self._store.clock_of_this_process():
            self._register()
            try:
                while self._claimed or self._claim_next():
                    yield canonical_id(self._claimed[0].id), self._run_first
            finally:
                if self._claimed:
                    self._finish([(job, released()) for job in self._claimed])
                self._store.deregister(self._worker_id)
                guard_of(self._backend.alias, self._backend.settings).forget()

    def _register(self) -> None:
        from offload.models import Worker  # noqa: PLC0415  # needs the app registry

        worker = Worker(
            pk=self._worker_id,
            backend=self._backend.alias,
            hostname="run_jobs()",
            pid=os.getpid(),
            queues=self._queue_name or "",
            processes=0,
            threads=1,
        )
        self._store.register(worker, lease=LEASE_SECONDS)
        # Whatever an earlier call found, with another queue or at another time.
        self._store.reopen_keys()

    def _claim_next(self) -> bool:
        """Claim the next job of each kind, sync and async; return False if none is waiting."""
        while not self._claimed:
            self._step_workflows()
            self._store.promote()
            self._read_rules()
            self._claimed = next(filter(None, (claim() for claim in self._claims())), [])
            if not self._claimed and not self._run_next_scheduled_now():
                return False
        return True

    def _read_rules(self) -> None:
        rules = self._store.rules(self._backend.alias)
        self._paused, self._paused_tasks = sorted(rules.paused_queues), rules.ids_of_paused
        while self._store.release_parked():
            pass
        self._limits = limits_in_force(self._backend.settings.limits_of_queues, rules.limits)
        self._store.add_queues(self._backend.alias, self._limits)

    def _claims(self) -> Iterator[Callable[[], list[ClaimedJob]]]:
        """Yield the claims to try, beginning with that of the most urgent job that is waiting."""
        first = self._first_job()
        if first is None:
            return
        state, is_async = first
        # Where a queue has limits, one job at a time: the limits may let only the first one start.
        kinds = [{is_async}, {not is_async}] if self._limits else [{False, True}]
        for slots in kinds:
            claims = [partial(self._claim_ready, slots), partial(self._claim_limited, slots)]
            if state == JobState.LIMITED:
                claims.reverse()
            yield from claims

    def _first_job(self) -> tuple[int, bool] | None:
        """Return state and kind of the most urgent job that is waiting; None if none is."""
        from offload.models import Job  # noqa: PLC0415  # needs the app registry

        jobs = Job.objects.using(self._store.using).filter(
            backend=self._backend.alias, state__in=(JobState.READY, JobState.LIMITED)
        )
        jobs = jobs.exclude(queue_name__in=self._paused)
        jobs = jobs.exclude(task_path__in=self._paused_tasks)
        if self._queue_name is not None:
            jobs = jobs.filter(queue_name=self._queue_name)
        jobs = jobs.order_by("-priority", "run_after", "pk")
        return jobs.values_list("state", "is_async").first()

    def _claim_ready(self, kinds: Collection[bool]) -> list[ClaimedJob]:
        queues = self._store.ready_queues(self._backend.alias)
        if self._queue_name is not None:
            queues = [name for name in queues if name == self._queue_name]
        queues = [name for name in queues if name not in self._paused]
        slots = (int(False in kinds), int(True in kinds))
        request = ClaimRequest(
            self._backend.alias,
            queues,
            *slots,
            limits={name: self._limits[name] for name in queues if name in self._limits},
            free=slots,
            paused_tasks=self._paused_tasks,
        )
        return self._store.exchange(self._worker, [], request).claimed if request else []

    def _claim_limited(self, kinds: Collection[bool]) -> list[ClaimedJob]:
        queues = () if self._queue_name is None else (self._queue_name,)
        served = set(queues or self._limits) - set(self._paused)
        limited = LimitedRequest(
            self._backend.alias,
            queues,
            tuple(self._paused),
            sync_slots=int(False in kinds),
            async_slots=int(True in kinds),
            limits={name: self._limits[name] for name in served if name in self._limits},
            paused_tasks=self._paused_tasks,
        )
        no_claim = ClaimRequest(self._backend.alias, ())
        return self._store.exchange(self._worker, [], no_claim, limited=limited).claimed

    def _run_first(self) -> BaseException | None:
        job = self._claimed.pop(0)
        outcome, error = run_attempt(job, self._store)
        if not outcome.written:
            self._finish([(job, outcome)])
        return error

    def _finish(self, finished: list[tuple[ClaimedJob, Outcome]]) -> None:
        no_claim = ClaimRequest(self._backend.alias, ())
        result = self._store.exchange(self._worker, finished, no_claim)
        for job, _ in result.cancelled:
            send_finished(self._backend.get_result(job.id))
        announce_ended(result.ended, self._store.using)

    def _step_workflows(self) -> None:
        """Take all notices about workflows."""
        while (step := self._store.step_workflows(self._worker)).next_in is not None:
            announce_ended(step.ended, self._store.using)

    def _run_next_scheduled_now(self) -> bool:
        """Make the next scheduled job ready, as if the time until then had passed."""
        if not self._include_scheduled:
            return False
        columns: dict[str, Any] = {"state": JobState.SCHEDULED}
        if self._queue_name is not None:
            columns["queue_name"] = self._queue_name
        scheduled = [
            row
            for row in find_rows(self._backend, **columns)
            if row.queue_name not in self._paused and row.task_path not in self._paused_tasks
        ]
        if not scheduled:
            return False
        return self._store.run_now(_earliest(scheduled).pk)


def _claim_recorded(
    backend: RecordingBackend, queue_name: str | None, *, include_scheduled: bool
) -> _Claims:
    """Yield recorded jobs in the order of their claims; each runs all its attempts at once."""
    columns = {} if queue_name is None else {"queue_name": queue_name}
    while True:
        waiting = [
            row
            for row in find_rows(backend, **columns)
            if row.state in RUNNABLE and not backend.is_paused(row.task_path, row.queue_name)
        ]
        due = [row for row in waiting if _is_due(row)]
        if due:
            row = min(due, key=_claim_order)
        elif waiting and include_scheduled:
            row = _earliest(waiting)
        else:
            return
        yield str(row.pk), partial(backend.run, row.pk)


def _is_due(row: Any) -> bool:
    return bool(row.run_after <= to_datetime(now_microseconds()))


def _claim_order(row: Job) -> tuple[Any, ...]:
    return (-row.priority, row.run_after, row.pk)


def _earliest(rows: Iterable[Job]) -> Job:
    return min(rows, key=attrgetter("run_after", "pk"))


def _results(backend: InspectableBackend, job_ids: Iterable[str]) -> list[OffloadResult[Any]]:
    results = []
    for job_id in job_ids:
        with suppress(TaskResultDoesNotExist):  # a job may delete jobs
            results.append(backend.get_result(job_id))
    return results


def _limit_error(backend: InspectableBackend, job_id: str, limit: int) -> AssertionError:
    path = backend.get_result(job_id).task.module_path
    return AssertionError(
        f"After {limit} attempts {path} is still waiting. Does a job enqueue itself, or raise "
        "Snooze each time? If there are that many jobs, raise limit."
    )
