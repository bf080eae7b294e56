"""When a worker looks for jobs with a limit, and how many it claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from offload.store.limit_records import LimitedRequest
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.store.records import ExchangeResult
    from offload.worker.claiming.served_queues import ServedQueues
    from offload.worker.pools.base import Pool

MIN_DELAY = 0.05
"""Seconds until the next look after one that found no jobs although some may start, at least."""
MAX_DELAY = 1.0
"""The same, at most."""
MAX_DRAIN_DELAY = 60.0
"""Seconds until jobs may start by their rate for which a draining worker waits, at most."""
KINDS = (False, True)
"""The kinds of jobs, by `is_async`."""


class LimitedJobs:
    """The jobs with a limit that may start.

    Args:
        served: the queues that the worker serves.
        clock: returns seconds.

    Attributes:
        are_left: whether a draining worker waits for some: not for those of other workers.
    """

    def __init__(
        self, served: ServedQueues, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.are_left = True
        self._served = served
        self._clock = clock
        self._due_at = dict.fromkeys(KINDS, 0.0)
        """When to look for each kind: a look for one says nothing of the other."""
        self._delays = dict.fromkeys(KINDS, MIN_DELAY)
        self._gets_odd_slot = True
        self._rate_until = 0.0
        """When the rates that held up jobs at the last looks will let them start."""

    @property
    def due_at(self) -> float:
        """When to look for them, if a slot is free (monotonic clock)."""
        return min(self._due_at.values())

    def is_due(self, *, is_async: bool) -> bool:
        """Return whether some of a kind may start now."""
        return self._due_at[is_async] <= self._clock()

    def expect(self) -> None:
        """Look for them as soon as a slot is free."""
        self._due_at = dict.fromkeys(KINDS, 0.0)
        self.are_left = True

    def expect_in(self, seconds: float | None) -> None:
        """Look for them after this time at the latest; never if a poll found none."""
        if seconds is None:
            self._due_at = dict.fromkeys(KINDS, NEVER)
            self.are_left = False
        else:
            due_at = self._clock() + seconds
            self._due_at = {kind: min(at, due_at) for kind, at in self._due_at.items()}

    def expect_only_in(self, seconds: float | None, *, are_left: bool) -> None:
        """Look for them after this time, and not earlier, as another look has just been taken.

        Args:
            seconds: None if none waits for its turn.
            are_left: whether that look found some that may start.
        """
        self.expect_in(None)
        if seconds is not None:
            self.expect_in(seconds)
            self.are_left = are_left

    def due_in(self, pool: Pool, expected_kinds: Collection[bool]) -> float:
        """Return the seconds after which to look for them; infinity while no slot is free.

        Args:
            pool: as for `request`.
            expected_kinds: as for `request`.
        """
        if self.request(pool, expected_kinds):
            return 0.0
        now = self._clock()
        return min((at - now for at in self._due_at.values() if at > now), default=NEVER)

    def request(self, pool: Pool, expected_kinds: Collection[bool]) -> LimitedRequest | None:
        """Return how many to claim now; None if none.

        They are claimed for free slots only: a job that waits in this process would hold a slot of
        its limit.

        Args:
            pool: runs them.
            expected_kinds: the kinds of which other jobs are expected too, by `is_async`.
        """
        now = self._clock()
        queues = self._served.open_names
        if self.due_at > now or queues == []:
            return None
        counts = []
        for is_async in KINDS:
            is_due = self._due_at[is_async] <= now
            free = pool.free_slots(is_async=is_async) if is_due else 0
            if free and is_async in expected_kinds:
                held = count_held(pool, is_async=is_async, are_limited=True)
                free = min(free, max(0, self.share(pool, is_async=is_async) - held))
            counts.append(free)
        request = LimitedRequest(
            self._served.backend,
            tuple(queues or ()),
            tuple(sorted(self._served.excluded | self._served.paused)),
            sync_slots=counts[0],
            async_slots=counts[1],
            limits=self._served.limits_among(queues or self._served.limits),
            paused_tasks=self._served.paused_tasks,
        )
        return request if request else None

    def share(self, pool: Pool, *, is_async: bool) -> int:
        """Return how many slots they may use while other jobs are expected too: half of them.

        An odd slot is theirs and the others' in turn.
        """
        slots = pool.slots(is_async=is_async)
        return slots // 2 + (slots % 2 if self._gets_odd_slot else 0)

    def learn(self, request: LimitedRequest, result: ExchangeResult) -> None:
        """Decide when to look next for the kinds of a request, after its claim."""
        self._gets_odd_slot = not self._gets_odd_slot
        if result.limited is None:
            return
        delay, rate_in = result.limited.due_in, result.limited.rate_in
        has_claimed = any(job.limit_key is not None for job in result.claimed)
        now = self._clock()
        if rate_in <= MAX_DRAIN_DELAY:
            self._rate_until = max(self._rate_until, now + rate_in)
        self.are_left = has_claimed or now < self._rate_until
        if delay is None:
            self._due_at = dict.fromkeys(KINDS, NEVER)
            return
        for is_async in request.kinds:
            wait = delay
            if has_claimed:
                self._delays[is_async] = MIN_DELAY
            elif delay < self._delays[is_async]:
                wait = self._delays[is_async]
                self._delays[is_async] = min(2 * wait, MAX_DELAY)
            self._due_at[is_async] = now + wait


def count_held(pool: Pool, *, is_async: bool, are_limited: bool) -> int:
    """Return how many jobs of a kind a pool holds: those with a limit, or the others."""
    return sum(
        bool(job.is_async) is is_async and (job.limit_key is not None) is are_limited
        for job in pool.held_jobs()
    )
