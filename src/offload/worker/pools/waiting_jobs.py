"""The jobs that a process holds and has not started."""

from __future__ import annotations

import logging

from offload.failpoints import failpoint
from offload.worker.pools.capacity import Capacity
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

START_TIMEOUT = 1.0
"""Seconds in which a runner with a free slot starts a job, or its waiting jobs are taken back."""
VISIBLE_AFTER = 0.05
"""Seconds after which the worker sees each start from before a take-back; see the slot table."""


class WaitingJobs:
    """The jobs of one kind, sync or async, that a process holds and has not started.

    The worker takes them back without the help of their runner, whose process may be stopped or
    blocked by C code, or whose event loop a task may block. The runner skips them when it reaches
    them. Until then it gets no more jobs, so the jobs taken back also show when it works again.

    Args:
        slots: where the runner writes which jobs it starts.
        capacity: the jobs that the process holds.
        is_async: the kind.
        process: what to call the process in log messages.
    """

    def __init__(
        self, slots: SlotTable, capacity: Capacity, *, is_async: bool, process: str
    ) -> None:
        self._slots = slots
        self._capacity = capacity
        self._is_async = is_async
        self._process = process
        self._earlier = capacity.last_number(is_async=is_async)
        """The last job of an earlier runner."""
        self._through = 0
        """The last job that was taken back, until the runner has skipped it; else 0."""
        self._visible_at: float | None = None
        """When the worker will see which of the jobs had started."""
        self._latest = 0
        self._unchanged_since: float | None = None
        """Since when jobs wait although a slot is free, and `_latest` has been the latest start."""

    @property
    def is_suspended(self) -> bool:
        """Whether the runner has not skipped the jobs that were taken back from it."""
        if self._through and self._slots.has_started(self._through, is_async=self._is_async):
            self._through = 0
        return self._through > 0

    @property
    def is_stalled(self) -> bool:
        """Whether the runner has not skipped the jobs although it has a free slot for them."""
        return self.is_suspended and self._has_free_slot()

    def step(self, now: float, *, is_stuck: bool) -> list[int]:
        """Take back jobs that wait behind long ones or are not started for no visible reason.

        Args:
            now: monotonic clock.
            is_stuck: whether they wait behind long ones.

        Returns:
            the numbers of the jobs that are taken back, each once.
        """
        if not self.is_suspended:
            is_stalled = self.seconds_stalled(now) > START_TIMEOUT
            if is_stalled:
                logger.warning(
                    "%s has started no %s job for %g s: others get the jobs that wait for it.",
                    self._process,
                    "async" if self._is_async else "sync",
                    START_TIMEOUT,
                )
            if is_stalled or is_stuck:
                self.take_back(now)
        return self.taken_back(now)

    def seconds_stalled(self, now: float) -> float:
        """Return for how long a slot has been free and none of the jobs has started."""
        latest = self._slots.latest(is_async=self._is_async)
        last = self._capacity.last_number(is_async=self._is_async)
        is_waiting = last > max(latest, self._earlier)
        if not is_waiting or not self._has_free_slot():
            self._unchanged_since = None
            return 0.0
        if self._unchanged_since is None or latest != self._latest:
            self._latest, self._unchanged_since = latest, now
        return now - self._unchanged_since

    def take_back(self, now: float) -> None:
        """Forbid the start of the waiting jobs; `taken_back` returns them a moment later."""
        last = self._capacity.last_number(is_async=self._is_async)
        if last > self._earlier and not self._slots.has_started(last, is_async=self._is_async):
            self._slots.take_back(last, is_async=self._is_async)
            self._through = last
            self._visible_at = now + VISIBLE_AFTER
            failpoint("pool.taking_back")

    def taken_back(self, now: float) -> list[int]:
        """Return the numbers of the jobs that were taken back and had not started, each once."""
        if self._visible_at is None or now < self._visible_at:
            return []
        self._visible_at = None
        failpoint("pool.taken_back")
        latest = self._slots.latest(is_async=self._is_async)
        return [
            number
            for number, job in self._capacity.held.items()
            if latest < number <= self._through and bool(job.is_async) is self._is_async
        ]

    def _has_free_slot(self) -> bool:
        busy = self._slots.count_running(is_async=self._is_async)
        return busy < self._capacity.slots(is_async=self._is_async)
