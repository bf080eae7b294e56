"""How many jobs of each open key may start, and when the key is looked at next. No database."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from offload.store.limit_records import ClosedKey, LimitNumbers, OpenKey, Share
from offload.store.records import ClaimedJob

RECHECK_MICROSECONDS = 250_000
"""Time until the next look at a key of which fewer jobs were found than could start: their rows are
locked, or other workers serve their queues."""
MAX_OVERTAKING_MICROSECONDS = 1_000_000
"""By how much a worker may read the clock earlier than the one that had the key before: a statement
reads it before it locks."""


@dataclass(slots=True)
class FreeSlots:
    """The free slots of a worker.

    Attributes:
        sync: for sync jobs.
        asynchronous: for async jobs.
        total: how many of both may be used.
    """

    sync: int
    asynchronous: int
    total: int

    def __bool__(self) -> bool:
        return self.total > 0 and (self.sync > 0 or self.asynchronous > 0)

    @property
    def kinds(self) -> list[bool]:
        """The kinds of jobs for which a slot is free, by `is_async`."""
        return [kind for kind, free in ((False, self.sync), (True, self.asynchronous)) if free > 0]

    def limited_to(self, total: int) -> FreeSlots:
        """Return the same slots, of which `total` may be used."""
        return replace(self, total=min(total, self.total))

    def free_for(self, key: OpenKey) -> int:
        """Return the free slots for the jobs of a key.

        Jobs of a key with both kinds may all be of the kind that has fewer slots.
        """
        match key.is_async:
            case True:
                free = self.asynchronous
            case False:
                free = self.sync
            case None:
                free = min(self.sync, self.asynchronous) or max(self.sync, self.asynchronous)
        return max(0, min(free, self.total))

    def reserve(self, key: OpenKey, count: int) -> None:
        """Use slots for jobs of a key; of both kinds if they may be of either."""
        self.total -= count
        if key.is_async is not False:
            self.asynchronous -= count
        if key.is_async is not True:
            self.sync -= count

    def use(self, jobs: Sequence[ClaimedJob]) -> None:
        """Use slots for jobs."""
        asynchronous = sum(bool(job.is_async) for job in jobs)
        self.total -= len(jobs)
        self.asynchronous -= asynchronous
        self.sync -= len(jobs) - asynchronous


def max_running(key: OpenKey, numbers: LimitNumbers) -> int | None:
    """Return how many jobs of a key may run at once; None for no limit."""
    if key.is_total:
        return numbers.total
    return key.max_running if numbers.max_running is None else numbers.max_running


def grant(key: OpenKey, numbers: LimitNumbers, running: int) -> float:
    """Return how many jobs of a key may start now; infinity for no limit.

    Args:
        key: the key.
        numbers: of its limit.
        running: how many of its jobs run.
    """
    limit = max_running(key, numbers)
    free = math.inf if limit is None else max(0, limit - running)
    return min(free, _rate_grant(key, *_rate(key, numbers)))


def next_start(key: OpenKey, numbers: LimitNumbers) -> int:
    """Return when the rate lets the next job of a key start, in microseconds; `now` if it does."""
    interval, burst = _rate(key, numbers)
    if not interval:
        return key.now
    return max(key.now, _free_at(key, interval, burst) - (burst - 1) * interval)


def free_after(key: OpenKey, numbers: LimitNumbers, started: int) -> int:
    """Return `LimitKey.free_at` after some more starts."""
    interval, burst = _rate(key, numbers)
    return _free_at(key, interval, burst) + started * interval


def turn(key: OpenKey, numbers: LimitNumbers) -> int:
    """Return how many jobs a key may start in the turn that it has begun, or in its next one."""
    return key.turn_left or weight(key, numbers)


def weight(key: OpenKey, numbers: LimitNumbers) -> int:
    """Return how many jobs of a key start in one turn."""
    return numbers.weight if key.weight is None else key.weight


def share(
    keys: Sequence[OpenKey],
    granted: Mapping[str, float],
    limits: Mapping[str, LimitNumbers],
    slots: FreeSlots,
) -> dict[str, Share]:
    """Divide free slots among keys: turn by turn, in their order, until no slot is free.

    In a turn a key gets as many slots as its weight says, fewer only if it may start no more jobs.
    If the slots are used up within a turn, the key goes on with it at the next share.

    Returns:
        The share of each key that gets some.
    """
    slots = replace(slots)
    shares: dict[str, Share] = {}
    waiting = deque((key, turn(key, limits[key.name])) for key in keys if granted[key.limit_key])
    rank = 0
    while waiting and slots:
        key, size = waiting.popleft()
        before = shares.get(key.limit_key, Share(0, 0, 0)).jobs
        allowed = granted[key.limit_key] - before
        count = int(min(size, allowed, slots.free_for(key)))
        if count == 0:
            continue
        slots.reserve(key, count)
        is_over = count in (size, allowed)
        rank += is_over
        shares[key.limit_key] = Share(before + count, 0 if is_over else size - count, rank)
        if count < allowed and is_over:
            waiting.append((key, weight(key, limits[key.name])))
    return shares


def close(
    key: OpenKey, numbers: LimitNumbers, share: Share | None, *, running: int, started: int
) -> ClosedKey:
    """Return when a key is looked at next.

    A key that could not end its turn for want of a slot keeps its place among the keys; any other
    takes the last one.

    Args:
        key: the key.
        numbers: of its limit.
        share: how many of its jobs were to start; None if none was.
        running: how many of its jobs ran before.
        started: how many have started now.
    """
    asked, turn_left, rank = share or Share(0, 0, 0)
    interval, burst = _rate(key, numbers)
    free_at = _free_at(key, interval, burst) + started * interval if interval else key.free_at
    limit = max_running(key, numbers)
    if limit is not None and running + started >= limit:
        return key.closed(free_at, None)
    open_at = max(key.now, free_at - (burst - 1) * interval) if interval else key.now
    if started < asked:
        open_at = max(open_at, key.now + RECHECK_MICROSECONDS)
    elif turn_left and open_at == key.now:
        return key.closed(free_at, key.open_at, turn_left)
    return key.closed(free_at, open_at + rank)


def _rate(key: OpenKey, numbers: LimitNumbers) -> tuple[int, int]:
    """Return the interval and the burst of a key."""
    if key.is_total:
        return numbers.total_interval, numbers.total_burst
    return numbers.interval, numbers.burst


def _rate_grant(key: OpenKey, interval: int, burst: int) -> float:
    """Return how many jobs a rate lets start now, by the generic cell rate algorithm (GCRA).

    Source: ITU-T I.371, annex A.
    """
    if not interval:
        return math.inf
    late = _free_at(key, interval, burst) - key.now
    tolerance = (burst - 1) * interval
    return 0 if late > tolerance else (tolerance - late) // interval + 1


def _free_at(key: OpenKey, interval: int, burst: int) -> int:
    """Return `LimitKey.free_at`, with no more starts behind it than a rate allows.

    There may be more if the rate was lower, or the clock was set back.
    """
    latest = key.now + burst * interval + MAX_OVERTAKING_MICROSECONDS
    return min(max(key.free_at, key.now), latest)
