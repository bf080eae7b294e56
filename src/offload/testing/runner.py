"""Run what was enqueued, in the test's own thread and transaction."""

from __future__ import annotations

from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from asgiref.sync import sync_to_async
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.asyncio import async_unsafe

from offload.conf import did_you_mean
from offload.lifecycle import JobState, Outcome, released
from offload.results import OffloadResult, canonical_id
from offload.store.records import ClaimedJob, ClaimRequest
from offload.testing.execution import run_attempt
from offload.testing.jobs import find_rows, get_backend, store_of
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.backends.database import DatabaseBackend


class Choices(TypedDict, total=False):
    """What `run_jobs` may be told."""

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
    limit: int = 1000,
) -> list[OffloadResult[Any]]:
    """Run the waiting jobs, and those that they enqueue, as a worker would; most urgent first.

    Args:
        queue_name: only jobs of this queue.
        backend: alias in TASKS.
        include_scheduled: run also what is not due yet (deferred, retried with a backoff,
            snoozed), in the order of its time, when nothing else waits.
        raise_errors: raise what a task raises that fails for good.
        limit: attempts after which the jobs are taken for endless.

    Returns:
        one result for each job that was run, in the order in which they began.

    Raises:
        AssertionError: if jobs still wait after `limit` attempts.
    """
    chosen = get_backend(backend)
    if queue_name is not None and chosen.queues and queue_name not in chosen.queues:
        hint = did_you_mean(queue_name, sorted(chosen.queues))
        raise ValueError(f"TASKS[{backend!r}] has no queue {queue_name!r}.{hint}")
    drain = _Drain(chosen, queue_name, include_scheduled=include_scheduled)
    try:
        drain.run(limit, raise_errors=raise_errors)
    finally:
        drain.hand_back()
    return drain.results()


async def arun_jobs(**choices: Unpack[Choices]) -> list[OffloadResult[Any]]:
    """Do what `run_jobs` does."""
    return await sync_to_async(run_jobs, thread_sensitive=True)(**choices)


class _Drain:
    def __init__(
        self, backend: DatabaseBackend, queue_name: str | None, *, include_scheduled: bool
    ) -> None:
        self._backend = backend
        self._queue_name = queue_name
        self._include_scheduled = include_scheduled
        self._store = store_of(backend)
        self._worker = self._store.key(new_id())
        self._claimed: list[ClaimedJob] = []
        self._begun: dict[str, None] = {}

    def run(self, limit: int, *, raise_errors: bool) -> None:
        for _ in range(limit):
            if not self._find():
                return
            error = self._run_one(self._claimed.pop(0))
            if error is not None and raise_errors:
                raise error
        if self._find():
            raise AssertionError(
                f"After {limit} attempts {self._claimed[0].task_path} still waits. Does a job "
                "enqueue itself, or raise Snooze each time? If there are so many jobs, raise limit."
            )

    def hand_back(self) -> None:
        """Let the jobs wait again that were claimed and not run."""
        if self._claimed:
            self._finish([(job, released()) for job in self._claimed])

    def results(self) -> list[OffloadResult[Any]]:
        results = []
        for identifier in self._begun:
            with suppress(TaskResultDoesNotExist):  # a job may delete jobs
                results.append(self._backend.get_result(identifier))
        return results

    def _run_one(self, job: ClaimedJob) -> BaseException | None:
        self._begun[canonical_id(job.id)] = None
        outcome, error = run_attempt(job, self._store)
        if not outcome.written:
            self._finish([(job, outcome)])
        return error

    def _finish(self, ended: list[tuple[ClaimedJob, Outcome]]) -> None:
        self._store.exchange(self._worker, ended, ClaimRequest(self._backend.alias, ()))

    def _find(self) -> bool:
        """Claim the most urgent job, and tell whether there was one."""
        while not self._claimed:
            self._store.promote()
            queues = self._store.ready_queues(self._backend.alias)
            wanted = [name for name in queues if self._queue_name in {None, name}]
            room = ClaimRequest(self._backend.alias, wanted, sync_slots=1, async_slots=1)
            if room:
                self._claimed = self._store.exchange(self._worker, [], room).claimed
            if not self._claimed and not self._hasten():
                return False
        return True

    def _hasten(self) -> bool:
        """Let the time pass until the next scheduled job is due."""
        if not self._include_scheduled:
            return False
        queue = {} if self._queue_name is None else {"queue_name": self._queue_name}
        scheduled = find_rows(self._backend, state=JobState.SCHEDULED, **queue)
        if not scheduled:
            return False
        return self._store.run_now(min(scheduled, key=attrgetter("run_after", "pk")).pk)
