"""The threads and the event loop of a process of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from offload.store.records import ClaimedJob
from offload.worker.fleet.held_ring import HeldRing, SharedSlots
from offload.worker.pools.in_process import InProcessPool
from offload.worker.runners.base import FinishReport
from offload.worker.runners.slot_table import SlotTable

MAX_LINGER = 0.02
"""Seconds that outcomes wait for others at most, while the last jobs of a message end."""


class FleetPool(InProcessPool):
    """Lets the outcomes of a message's short jobs share a statement.

    A message ends when its last outcome has been written, and the next one comes after that. So
    while no more jobs are to be claimed, nothing is gained by writing some outcomes earlier.

    Attributes:
        expects_more: returns whether received jobs are to be claimed.
        on_last: called, in any thread, when a job has finished behind which no other waits.
    """

    ring: HeldRing | None = None
    """Where the parent of the process sees which jobs it holds."""
    expects_more: Callable[[], bool]
    on_last: Callable[[], None]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.expects_more = lambda: False
        self.on_last = lambda: None

    @property
    def is_backed_up(self) -> bool:
        return self.linger > 0

    @property
    def linger(self) -> float:
        if self.expects_more():
            return self._capacity.linger
        return MAX_LINGER if self._capacity.ends_soon else 0.0

    def jobs_within(self, seconds: float) -> int:
        """Return how many sync jobs should end in a time; very many before the first one has."""
        run_times = self._capacity.run_times
        mean = run_times.mean if run_times.max_waiting else 1e-6
        return int(seconds * self.threads / mean)

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        if self.ring is not None:
            self.ring.add(self._capacity.next_number, jobs)
        super().submit(jobs)

    def _make_slots(self) -> SlotTable:
        return super()._make_slots() if self.ring is None else SharedSlots(self.ring)

    def _report(self, report: FinishReport) -> None:
        super()._report(report)
        if not report.more_follow:
            self.on_last()
