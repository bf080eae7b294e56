"""Why a job has not started: its position in the queue, or that no worker serves the queue.

Both need queries. So only jobs that have waited for DELAYED_AFTER_SECONDS are queried, each
process caches the results for each queue, and a stream queries only when it opens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from offload.lifecycle import WAITING, JobState
from offload.live.jobs import job_database
from offload.store import get_store
from offload.store.errors import explained
from offload.timestamps import seconds_since

if TYPE_CHECKING:
    from uuid import UUID

    from offload.models import Job

DELAYED_AFTER_SECONDS = 15.0
"""A job is delayed if it has been due for longer and has not started."""
MAX_POSITION = 100
"""Jobs further back have no position."""
MIN_CACHE_SECONDS = 5.0
"""Minimum time for which the result of a query is cached."""
CACHE_TIME_FACTOR = 20
"""The result of a slow query is cached for this many times the query's duration.

During a long transaction, even the first MAX_POSITION rows can take long to find.
"""
MAX_CACHE_ENTRIES = 1000
"""The cache is emptied when it is full."""


class QueuePosition(NamedTuple):
    """Why a job has not started.

    Attributes:
        delay: "unserved" if no worker serves its queue, else "slow".
        position: in its queue, from 1; None if it is unknown or above MAX_POSITION.
    """

    delay: Literal["slow", "unserved"]
    position: int | None = None


class QueryCache:
    """Results of queries that may be some seconds old, for all threads of a process.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: dict[Hashable, tuple[float, Any]] = {}
        """By query and arguments: the time until which the result is valid, and the result."""

    def __len__(self) -> int:
        return len(self._results)

    def get[T](self, query: Callable[..., T], *arguments: Hashable) -> T:
        """Return the result of a query, from the cache if it is valid."""
        started_at = self._clock()
        valid_until, result = self._results.get((query, arguments), (0.0, None))
        if valid_until <= started_at:
            result = query(*arguments)
            duration = self._clock() - started_at
            lifetime = max(MIN_CACHE_SECONDS, CACHE_TIME_FACTOR * duration)
            if len(self._results) >= MAX_CACHE_ENTRIES:
                self._results.clear()
            self._results[query, arguments] = (started_at + lifetime, result)
        return result  # type: ignore[no-any-return]


query_cache = QueryCache()


def find_queue_positions(jobs: Iterable[Job]) -> dict[UUID, QueuePosition]:
    """Return the position of each delayed job; no query if no job is delayed."""
    positions = {}
    for job in jobs:
        if not _is_delayed(job):
            continue
        using = job_database(job)
        if using is not None:
            positions[job.pk] = _find_position(job, using)
    return positions


def _is_delayed(job: Job) -> bool:
    # A due job is still scheduled if no worker runs that could promote it.
    if job.state not in WAITING or job.run_after is None:
        return False
    return seconds_since(job.run_after) > DELAYED_AFTER_SECONDS


def _find_position(job: Job, using: str) -> QueuePosition:
    from offload.store.queries import live_workers, serves  # noqa: PLC0415  # needs the app registry

    with explained(using):
        workers = query_cache.get(live_workers, using, job.backend)
        if not any(serves(worker, job.queue_name) for worker in workers):
            return QueuePosition("unserved")
        if job.state != JobState.READY:
            return QueuePosition("slow")
        ready_ids = query_cache.get(_ready_ids, using, job.backend, job.queue_name, job.is_async)
    if job.pk not in ready_ids:
        return QueuePosition("slow")
    return QueuePosition("slow", ready_ids.index(job.pk) + 1)


def _ready_ids(
    using: str,
    backend: str,
    queue_name: str,
    is_async: bool,  # noqa: FBT001  # part of the cache key
) -> list[UUID]:
    """Return the first ready jobs of a queue and kind, in the order in which they are claimed."""
    return get_store(using).ready_order(backend, queue_name, is_async=is_async, limit=MAX_POSITION)
