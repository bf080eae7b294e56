"""The jobs that a child process holds and has not started."""

from __future__ import annotations

from offload.failpoints import failpoint
from offload.worker.pools.capacity import Capacity
from offload.worker.runners.slot_table import SlotTable

START_TIMEOUT = 1.0
"""Seconds in which a child with a free slot starts a job, or its waiting jobs are taken back."""
VISIBLE_AFTER = 0.05
"""Seconds after which the worker sees each start from before a take-back; see the slot table."""


class WaitingJobs:
    """The jobs of one kind, sync or async, that a child process holds and has not started.

    The worker takes them back without the child's help, which may be stopped or blocked by C code.
    The child skips them when it reaches them. Until then it gets no more jobs of the kind, so the
    jobs taken back also show when a child works again.

    Args:
        slots: where the child writes which jobs it starts.
        capacity: the jobs that the child holds.
        is_async: the kind.
    """

    def __init__(self, slots: SlotTable, capacity: Capacity, *, is_async: bool) -> None:
        self._slots = slots
        self._capacity = capacity
        self._is_async = is_async
        self._through = 0
        """The last job that was taken back, until the child has skipped it; else 0."""
        self._visible_at: float | None = None
        """When the worker will see which of the jobs had started."""
        self._latest = 0
        self._unchanged_since: float | None = None
        """Since when jobs wait although a slot is free, and `_latest` has been the latest start."""

    @property
    def is_suspended(self) -> bool:
        """Whether the child has not skipped the jobs that were taken back from it."""
        if self._through and self._slots.has_started(self._through, is_async=self._is_async):
            self._through = 0
        return self._through > 0

    @property
    def is_stalled(self) -> bool:
        """Whether the child has not skipped the jobs although it has a free slot for them."""
        return self.is_suspended and self._has_free_slot()

    def seconds_stalled(self, now: float) -> float:
        """Return for how long a slot has been free and the child has started none of its jobs."""
        latest = self._slots.latest(is_async=self._is_async)
        is_waiting = self._capacity.last_number(is_async=self._is_async) > latest
        if not is_waiting or not self._has_free_slot():
            self._unchanged_since = None
            return 0.0
        if self._unchanged_since is None or latest != self._latest:
            self._latest, self._unchanged_since = latest, now
        return now - self._unchanged_since

    def take_back(self, now: float) -> None:
        """Forbid the child to start the waiting jobs; `taken_back` returns them a moment later."""
        last = self._capacity.last_number(is_async=self._is_async)
        if last and not self._slots.has_started(last, is_async=self._is_async):
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
