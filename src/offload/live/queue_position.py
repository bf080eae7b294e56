"""Why a job has not started: its position in the queue, a limit, a pause, or no worker.

All need queries. So only jobs that have waited for DELAYED_AFTER_SECONDS are queried, each
process caches the results for each queue, and a stream queries only when it opens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from offload.backends.base import find_backend
from offload.lifecycle import WAITING, JobState
from offload.live.jobs import job_database
from offload.policies.queue_limits import QueueLimits
from offload.store import get_store
from offload.store.celery_records import CELERY
from offload.store.errors import explained
from offload.timestamps import seconds_since

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from offload.models import Job
    from offload.store.limit_lines import LimitUse
    from offload.store.queue_records import Rules

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
        delay: "paused" if its queue or its task is paused; "unserved" if no worker serves the
            queue; "concurrency" or "rate" if its own limit or that of its queue does not let it
            start; else "slow".
        position: in its queue, or in the line of its limit's key, from 1; None if it is unknown or
            above MAX_POSITION.
        reason: of the pause, if it is public.
        until: when the pause ends by itself; None if somebody must end it.
    """

    delay: Literal["concurrency", "paused", "rate", "slow", "unserved"]
    position: int | None = None
    reason: str = ""
    until: datetime | None = None


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
    if job.state not in WAITING or job.state == JobState.BLOCKED or job.run_after is None:
        return False
    if job.backend == CELERY:  # only the broker knows
        return False
    return seconds_since(job.run_after) > DELAYED_AFTER_SECONDS


def _find_position(job: Job, using: str) -> QueuePosition:
    from offload.store.queries import live_workers, serves  # noqa: PLC0415  # needs the app registry

    with explained(using):
        rules = query_cache.get(_rules, using, job.backend)
        pause = rules.pause_of(job.queue_name, job.task_path)
        if pause is not None:
            return QueuePosition(
                "paused", reason=pause.reason if pause.is_public else "", until=pause.until
            )
        workers = query_cache.get(live_workers, using, job.backend)
        if not any(serves(worker, job.queue_name) for worker in workers):
            return QueuePosition("unserved")
        position = QueuePosition("slow")
        if job.limit_key is not None and job.state == JobState.LIMITED:
            position = _find_position_in_line(job, using)
        if position.delay == "slow" and job.state in {JobState.READY, JobState.LIMITED}:
            limits = _limits_of_queue(job, rules)
            position = _find_position_in_queue(job, using, limits)
    return position


def _rules(using: str, backend: str) -> Rules:
    return get_store(using).rules(backend)


def _limits_of_queue(job: Job, rules: Rules) -> QueueLimits:
    """Return the limits in force of the queue of a job."""
    backend = find_backend(job.backend)
    limits = QueueLimits() if backend is None else backend.settings.limits_of_queue(job.queue_name)
    rule = rules.queues.get(job.queue_name)
    return limits if rule is None else limits.replaced(rule.change.limits)


def _find_position_in_queue(job: Job, using: str, limits: QueueLimits) -> QueuePosition:
    from offload.store.limit_lines import queue_use  # noqa: PLC0415  # needs the app registry

    delay: Literal["concurrency", "rate", "slow"] = "slow"
    if limits.hold_up_jobs:
        use = query_cache.get(queue_use, using, job.backend, job.queue_name, limits)
        delay = _delay([use])
    if job.state != JobState.READY:  # the lines of a queue have no order among them
        return QueuePosition(delay)
    ready_ids = query_cache.get(_ready_ids, using, job.backend, job.queue_name, job.is_async)
    return QueuePosition(delay, _position(job, ready_ids))


def _delay(uses: list[LimitUse]) -> Literal["concurrency", "rate", "slow"]:
    """Return "concurrency" or "rate" if that of a limit is used up; else "slow"."""
    if any(use.is_full and use.running for use in uses):
        return "concurrency"
    return "rate" if any(use.next_start_at for use in uses) else "slow"


def _find_position_in_line(job: Job, using: str) -> QueuePosition:
    from offload.store.limit_lines import limit_uses, line_order  # noqa: PLC0415

    uses = query_cache.get(limit_uses, using, job.limit_key)
    delay = _delay(uses)
    if delay == "slow":
        return QueuePosition(delay)
    if len(uses) > 1:  # jobs of other keys may start before it
        return QueuePosition(delay)
    return QueuePosition(
        delay, _position(job, query_cache.get(line_order, using, job.limit_key, MAX_POSITION))
    )


def _position(job: Job, ids: list[UUID]) -> int | None:
    return ids.index(job.pk) + 1 if job.pk in ids else None


def _ready_ids(
    using: str,
    backend: str,
    queue_name: str,
    is_async: bool,  # noqa: FBT001  # part of the cache key
) -> list[UUID]:
    """Return the first ready jobs of a queue and kind, in the order in which they are claimed."""
    return get_store(using).ready_order(backend, queue_name, is_async=is_async, limit=MAX_POSITION)
