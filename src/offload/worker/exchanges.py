"""A worker's exchanges with the database: each writes outcomes and claims jobs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.results import canonical_id
from offload.store.records import ClaimRequest, ExchangeResult, FinishedJob
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.machine_load import MachineLoad
from offload.worker.claiming.poller import Poller
from offload.worker.completer import BatchCompleter
from offload.worker.outage import Outage
from offload.worker.upkeep.registration import Registration

if TYPE_CHECKING:
    from offload.store.limit_records import LimitedRequest
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")


class Exchanges:
    """Decides when to write outcomes and claim jobs, and passes on what comes of it.

    Args:
        registration: of the worker.
        pool: runs the jobs.
        poller: knows which jobs to expect.
        completer: keeps outcomes and progress until they are written.
        hints: tells subscribers of changes.
        outage: whether the database fails.

    Attributes:
        claims: whether jobs are claimed; not while the worker stops.
        load: pauses the claims while the machine has too much to do.
    """

    def __init__(
        self,
        registration: Registration,
        pool: Pool,
        poller: Poller,
        completer: BatchCompleter,
        hints: ChangeHints,
        outage: Outage,
    ) -> None:
        self.claims = True
        self.load = MachineLoad(None, lambda: None)
        self._registration = registration
        self._pool = pool
        self._poller = poller
        self._completer = completer
        self._hints = hints
        self._outage = outage
        self._no_claim = ClaimRequest(registration.backend, ())

    @property
    def due_in(self) -> float:
        """Seconds after which the next exchange is due; 0 if it is due now.

        While the pool has enough jobs, outcomes wait a moment to share a transaction: one for each
        outcome would cost more than a short job.
        """
        if not self._may_claim:
            return self._completer.due_in()
        linger = self._pool.linger
        if self._completer.is_full:
            return self._completer.due_in(linger=linger)
        if self._poller.should_claim(self._pool):
            return 0.0
        return min(self._completer.due_in(linger=linger), self._poller.limited_due_in(self._pool))

    def run_if_due(self) -> None:
        """Write outcomes and progress and claim jobs in one transaction; then send hints."""
        if self.due_in > 0:
            return
        request, limited = self._no_claim, None
        if self._may_claim and not self._completer.is_full:
            request = self._poller.claim_request(self._pool)
            limited = self._poller.limited_request(self._pool)
            request, limited = self.load.narrow(request, limited)
        if request or limited or self._completer.has_writes:
            self._run(request, limited)

    @property
    def _may_claim(self) -> bool:
        return self.claims and not self.load.claims_pause

    def write_all(self) -> None:
        """Write all outcomes that wait, without claiming jobs."""
        while self._completer.has_batch:
            finished, result = self._completer.exchange(self._registration.key, self._no_claim)
            self._publish(finished, result)

    def _run(self, request: ClaimRequest, limited: LimitedRequest | None) -> None:
        finished, result = self._completer.exchange(self._registration.key, request, limited)
        failpoint("worker.exchanged")
        if request or result.queues_in is not None:
            self._poller.learn(request, result)
        if limited:
            self._poller.limited.learn(limited, result)
        if result.claimed:
            self._pool.submit(result.claimed)
        if result.claimed or result.progress_written or result.has_parked:
            self._hints.jobs_changed_soon()
        if finished:
            self._publish(finished, result)

    def _publish(self, finished: Sequence[FinishedJob], result: ExchangeResult) -> None:
        """Notify workers of the jobs that will run again, and subscribers of all jobs."""
        # In an outage, outcomes are refused too if only the answer to an earlier write was lost.
        if result.refused and not self._outage:
            ids = ", ".join(canonical_id(job.id) for job in result.refused)
            logger.warning("Discarded outcomes of jobs that this worker had lost: %s", ids)
        if result.cancelled:
            self._pool.announce_finished(result.cancelled)
        if result.ended:
            self._pool.announce_ended(result.ended)
        states = {outcome.state for _, outcome in finished}
        self._poller.jobs_run_again(finished)
        if JobState.READY in states or result.has_released:
            self._poller.jobs_made_ready()
        else:
            self._hints.jobs_changed()
