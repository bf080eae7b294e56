"""Puts jobs of paused tasks back when the pause is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.claiming.poller import Poller

RETRY_DELAY = 0.25
"""Seconds until the next try after one that failed, as with locked rows."""


class ParkedUpkeep:
    """A duty: puts back a batch of jobs at a time, as long as there are some.

    Args:
        store: the queue.
        poller: knows when there may be some, and learns of jobs that can run.
    """

    def __init__(self, store: Store, poller: Poller) -> None:
        self._store = store
        self._poller = poller

    @property
    def due_at(self) -> float:
        """When it is due next (monotonic clock)."""
        return self._poller.parked_at

    def run_if_due(self, now: float) -> None:
        """Put jobs back if it is time."""
        if now < self.due_at:
            return
        self._poller.parked_at = now + RETRY_DELAY  # one that raises is repeated
        released = self._store.release_parked()
        self._poller.parked_at = now if released else NEVER
        if released:
            failpoint("worker.released_parked")
            self._poller.jobs_made_ready()
            self._poller.limited.expect()
