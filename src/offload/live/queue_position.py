"""What people are told of a job that has not begun for long: its place, or that nobody serves it.

Only those who ask after a while are told, since the database has to be asked for it: at most
once in some seconds for each queue, whoever and however many look. Streams do not ask at all,
but when they begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from offload.lifecycle import JobState
from offload.live.jobs import job_database
from offload.store import get_store
from offload.store.errors import explained
from offload.timestamps import now_microseconds, to_microseconds

if TYPE_CHECKING:
    from uuid import UUID

    from offload.models import Job

DELAYED_AFTER_SECONDS = 15.0
"""Seconds after which a job that could run is late."""
MAX_POSITION = 100
"""Places that are counted; who stands behind them is told none."""
MIN_CACHE_SECONDS = 5.0
"""Seconds for which an answer of the database is good for all in this process."""
CACHE_TIME_FACTOR = 20
"""Times as long as it took an answer is good, too: behind a long transaction it takes long."""
MAX_CACHE_ENTRIES = 1000
"""Answers that are kept."""


class QueuePosition(NamedTuple):
    """Attributes:
    delay: "unserved" if no engine serves its queue, else "slow".
    position: its place in its queue, from 1; None if there are too many before it.
    """

    delay: Literal["slow", "unserved"]
    position: int | None = None


def find_queue_positions(jobs: Iterable[Job]) -> dict[UUID, QueuePosition]:
    """Return the position of each job that is late; no query if none is."""
    return {job.pk: _find_position(job, using) for job, using in _late(jobs)}


def _late(jobs: Iterable[Job]) -> Iterable[tuple[Job, str]]:
    earliest = now_microseconds() - int(DELAYED_AFTER_SECONDS * 1_000_000)
    for job in jobs:
        # One that is due is still scheduled if no engine is there to make it ready.
        since = job.run_after if job.state in {JobState.SCHEDULED, JobState.READY} else None
        using = job_database(job)
        if since is not None and using is not None and to_microseconds(since) < earliest:
            yield job, using


def _find_position(job: Job, using: str) -> QueuePosition:
    from offload.store.queries import live_workers, serves  # noqa: PLC0415  # needs the app registry

    with explained(using):
        engines = _cached(live_workers, using, job.backend)
        if not any(serves(engine, job.queue_name) for engine in engines):
            return QueuePosition("unserved")
        if job.state != JobState.READY:
            return QueuePosition("slow")
        line = _cached(_line, using, job.backend, job.queue_name, job.is_async)
    return QueuePosition("slow", line.index(job.pk) + 1 if job.pk in line else None)


def _line(
    using: str,
    backend: str,
    queue_name: str,
    is_async: bool,  # noqa: FBT001  # what is asked is a key
) -> list[UUID]:
    return get_store(using).ready_order(backend, queue_name, is_async=is_async, limit=MAX_POSITION)


_cache: dict[Hashable, tuple[float, Any]] = {}
"""Until when an answer is good, and the answer."""


def _cached[T](question: Callable[..., T], *about: Hashable) -> T:
    """Return an answer of the database that may be some seconds old."""
    begun = time.monotonic()
    good_until, answer = _cache.get((question, about), (0.0, None))
    if good_until <= begun:
        answer = question(*about)
        took = time.monotonic() - begun
        if len(_cache) >= MAX_CACHE_ENTRIES:
            _cache.clear()
        _cache[question, about] = (begun + max(MIN_CACHE_SECONDS, CACHE_TIME_FACTOR * took), answer)
    found: T = answer
    return found
