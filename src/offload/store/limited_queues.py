"""Limits of queues: how many of their jobs run at once and start in a time, in all workers.

A worker locks the row of a queue, counts the queue's running jobs in a statement after the lock,
and claims as many as may start. A slot is a running job and nothing else.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from offload.failpoints import failpoint
from offload.policies.queue_limits import QueueLimits
from offload.store.grants import free_after, grant, next_start
from offload.store.limit_records import LimitedRequest, LimitNumbers, OpenKey
from offload.store.limited_claims import LimitedClaims
from offload.store.queue_records import LimitedQueue, QueueCaps
from offload.store.records import ClaimedJob, ClaimRequest
from offload.store.statements import statement
from offload.timestamps import now_microseconds

MAX_JOBS = 1_000_000
"""Stands for any number of jobs."""


class LimitedQueues(LimitedClaims):
    """Claims jobs of queues with limits."""

    def lock_queues(
        self, backend: str, defaults: Mapping[str, QueueLimits]
    ) -> dict[str, LimitedQueue]:
        """Lock the rows of queues, and count their running jobs; locked rows are left out.

        Args:
            backend: alias in TASKS.
            defaults: the limits of the settings, by the name of the queue.
        """
        parameters: dict[str, Any] = {
            "backend": backend,
            "names": self._list(sorted(defaults)),
            "now": now_microseconds(),
        }
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "lock_queues"), parameters)
            rows = cursor.fetchall()
        failpoint("queues.locked")
        if not rows:
            return {}
        # After the lock: jobs that other workers have claimed under it are counted.
        running = self.count_running_of_queues(backend, [row[0] for row in rows])
        queues = {}
        for name, limits, free_at, now in rows:
            numbers = defaults[name].replaced(limits)
            queues[name] = _limited_queue(name, numbers, free_at, now, running.get(name, 0))
        return queues

    def count_running_of_queues(self, backend: str, names: Sequence[str]) -> dict[str, int]:
        """Return how many jobs of queues run; nothing for a queue of which none does."""
        parameters = {"backend": backend, "names": self._list(names)}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "running_of_queues"), parameters)
            return dict(cursor.fetchall())

    def use_rates(
        self, backend: str, queues: Mapping[str, LimitedQueue], started: Counter[str]
    ) -> None:
        """Write which share of the rates of locked queues is used up."""
        rows: list[dict[str, Any]] = [
            {"backend": backend, "name": name, "free_at": free_after(*queue.key, started[name])}
            for name, queue in queues.items()
            if queue.key[1].interval and started[name]
        ]
        if rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(statement(self.dialect, "use_rate"), rows)

    def find_kinds(
        self, request: ClaimRequest, queues: Mapping[str, LimitedQueue]
    ) -> dict[str, tuple[int, int]]:
        """Return how many slots there are for the ready jobs of queues with limits: sync, async."""
        pairs = zip(request.by_kind(), request.free, strict=True)
        sync, asynchronous = (max(0, min(count, free)) for (_, count), free in pairs)
        names = [
            name for name, queue in queues.items() if queue.free > 0 and name in request.limits
        ]
        ready = self._ready_kinds(request.backend, names) if names else []
        return dict.fromkeys(queues, (0, 0)) | {
            name: (sync * bool(has_sync), asynchronous * bool(has_async))
            for name, has_sync, has_async in ready
        }

    def _ready_kinds(self, backend: str, names: Sequence[str]) -> list[tuple[str, bool, bool]]:
        """Return queues, and whether sync and async jobs are ready in each."""
        parameters = {"backend": backend, "names": self._list(names)}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_kinds"), parameters)
            return list(cursor.fetchall())


def limits_of(request: ClaimRequest, limited: LimitedRequest | None) -> dict[str, QueueLimits]:
    """Return the limits of the settings of all queues with limits that are claimed from."""
    return {**request.limits, **(limited.limits if limited else {})}


def half_of(count: int) -> int:
    """Return half of a number; of an odd one at random the smaller or the larger half."""
    return (count + random.getrandbits(1)) // 2


def requests_within_limits(
    limited: LimitedRequest,
    queues: Mapping[str, LimitedQueue],
    ready: Mapping[str, tuple[int, int]],
) -> list[LimitedRequest]:
    """Return one request for each queue with limits, and one for all others.

    Where other jobs are ready too, these get half of what the queue lets start.

    Args:
        limited: how many jobs that have a limit of their own.
        queues: the queues with limits.
        ready: slots for their other jobs.
    """
    requests = []
    names = tuple(name for name in limited.queues if name not in limited.limits)
    if names or not limited.queues:
        excluded = tuple(sorted({*limited.excluded, *limited.limits}))
        requests.append(replace(limited, queues=names, excluded=excluded))
    for name, queue in queues.items():
        if name in limited.limits:
            share = half_of(queue.free) if any(ready.get(name, ())) else queue.free
            if share > 0:
                requests.append(replace(limited, queues=(name,), excluded=(), max_jobs=share))
    # The first one puts off keys that have jobs in several queues.
    random.shuffle(requests)
    return requests


def within_limits(
    request: ClaimRequest,
    queues: Mapping[str, LimitedQueue],
    ready: Mapping[str, tuple[int, int]],
    claimed: Sequence[ClaimedJob],
) -> ClaimRequest:
    """Return a request that keeps to the limits of queues, of which some jobs were claimed."""
    started = Counter(job.queue_name for job in claimed)
    caps = dict.fromkeys(request.limits, (0, 0))
    for name, queue in queues.items():
        if name in caps:
            caps[name] = _split(max(0, queue.free - started[name]), *ready[name])
    now = max((queue.now for queue in queues.values()), default=0)
    return replace(request, caps=QueueCaps(caps, now))


def _split(free: int, sync: int, asynchronous: int) -> tuple[int, int]:
    """Divide what a queue lets start among sync and async jobs."""
    if sync + asynchronous > free:
        half = min(sync, half_of(free))
        asynchronous = min(asynchronous, free - half)
        sync = min(sync, free - asynchronous)
    return sync, asynchronous


def rate_in(queues: Mapping[str, LimitedQueue], started: Counter[str]) -> float | None:
    """Return the seconds until a rate lets jobs of a queue start; None if none holds them up."""
    waits = []
    for name, queue in queues.items():
        key, numbers = queue.key
        if numbers.interval and queue.free <= started[name] and queue.is_held_by_rate:
            used = key._replace(free_at=free_after(key, numbers, started[name]))
            waits.append((next_start(used, numbers) - key.now) / 1_000_000)
    return max(0.0, min(waits)) if waits else None


def _limited_queue(
    name: str, limits: QueueLimits, free_at: int, now: int, running: int
) -> LimitedQueue:
    numbers = LimitNumbers(
        max_running=limits.max_running, interval=limits.interval, burst=limits.burst
    )
    key = OpenKey(f"{name}:", name, None, None, free_at, now)
    free = int(min(grant(key, numbers, running), MAX_JOBS))
    without_rate = grant(key, numbers._replace(interval=0), running)
    return LimitedQueue((key, numbers), free, is_held_by_rate=without_rate > free, now=now)
