"""The jobs in a worker's pool, compared with those that it holds in the database."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from offload.lifecycle import JobState, Outcome, released
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.completer import BatchCompleter
from offload.worker.pools.base import interrupted_outcome
from offload.worker.upkeep.registration import Registration

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.pools.base import Pool


class HeldJobs:
    """The jobs that a worker holds: in its pool, and by the database.

    They differ after an exchange whose answer was lost, after others have taken over jobs, and
    when a cancellation was requested.

    Args:
        store: of the jobs.
        registration: of the worker.
        pool: runs the jobs.
        completer: keeps the jobs that have finished and are not written.
    """

    def __init__(
        self, store: Store, registration: Registration, pool: Pool, completer: BatchCompleter
    ) -> None:
        self._store = store
        self._registration = registration
        self._pool = pool
        self._completer = completer
        self._lost_keys: set[ClaimKey] = set()
        """Jobs in the pool although the worker does not hold them any more."""

    def find_lost(self) -> None:
        """Find the jobs in the pool that others have taken over, or whose rows are gone."""
        held = self._store.held_jobs(self._registration.id)
        self._lost_keys = self._pool_keys() - held.keys()

    def compare(self) -> None:
        """Stop jobs that are lost or cancelled, and release those that the worker never got."""
        self._stop_lost()
        held = self._registration.held_jobs(self._pool_keys())
        self._pool.cancel([key for key, is_cancel_requested in held.items() if is_cancel_requested])
        self._release_unknown(held.keys())
        self._completer.retain_progress(held.keys())

    def release_unknown(self) -> None:
        """Release jobs that were claimed by an exchange whose answer was lost."""
        self._release_unknown(self._store.held_jobs(self._registration.id).keys())

    def actual_outcomes(self, finished: list[FinishedJob]) -> list[FinishedJob]:
        """Return finished jobs with their outcomes: one stopped because it was lost can run again.

        Its pool says that it was cancelled.
        """
        if not self._lost_keys:
            return finished
        return [(job, self._actual_outcome(job, outcome)) for job, outcome in finished]

    def _stop_lost(self) -> None:
        """Stop the lost jobs, and those claimed under an earlier id: others run them."""
        worker = self._registration.key
        self._lost_keys = {
            job.key
            for job in self._pool.held_jobs()
            if job.worker != worker or job.key in self._lost_keys
        }
        self._pool.cancel(list(self._lost_keys))

    def _release_unknown(self, held: AbstractSet[ClaimKey]) -> None:
        """Release held jobs of which this process does not know.

        Their commit may become visible late, so each heartbeat checks this.
        """
        known = self._pool_keys() | self._completer.keys
        if held - known:
            claimed = self._store.claimed_by(self._registration.key)
            self._completer.add((job, released()) for job in claimed if job.key not in known)

    def _actual_outcome(self, job: ClaimedJob, outcome: Outcome) -> Outcome:
        if job.key in self._lost_keys and outcome.state == JobState.CANCELLED:
            return interrupted_outcome(job, "its worker lost it")
        return outcome

    def _pool_keys(self) -> set[ClaimKey]:
        return {job.key for job in self._pool.held_jobs()}
