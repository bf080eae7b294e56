"""Takes the notices about workflows: parts that ended without an exchange, workflows to cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.change_hints import ChangeHints
    from offload.worker.claiming.poller import Poller
    from offload.worker.pools.base import Pool
    from offload.worker.upkeep.registration import Registration

RETRY_DELAY = 0.25
"""Seconds until the next try after one that failed, as with locked rows."""


class WorkflowUpkeep:
    """A duty: takes notices, a batch at a time, as long as there are some.

    Args:
        store: the queue.
        registration: of this worker.
        pool: sends signals for jobs that end.
        poller: knows when there are notices, and is told of parts that can run.
        hints: tells subscribers of changes.
    """

    def __init__(
        self,
        store: Store,
        registration: Registration,
        pool: Pool,
        poller: Poller,
        hints: ChangeHints,
    ) -> None:
        self._store = store
        self._registration = registration
        self._pool = pool
        self._poller = poller
        self._hints = hints

    @property
    def due_at(self) -> float:
        """When it is due next (monotonic clock)."""
        return self._poller.workflow_notices_at

    def run_if_due(self, now: float) -> None:
        """Take notices if it is time."""
        if now < self.due_at:
            return
        self._poller.workflow_notices_at = now + RETRY_DELAY  # a step that raises is repeated
        step = self._store.step_workflows(self._registration.key)
        failpoint("worker.stepped_workflows")
        self._poller.workflow_notices_at = NEVER if step.next_in is None else now + step.next_in
        if step.ended:
            self._pool.announce_ended(step.ended)
        if step.has_released:
            self._poller.jobs_made_ready()
        elif step.has_changes:
            self._hints.jobs_changed()
