"""Claims that leave the jobs of paused tasks alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from offload.failpoints import failpoint
from offload.store.parked_jobs import ParkedJobs

if TYPE_CHECKING:
    from offload.store.limit_records import LimitedRequest, LimitedResult
    from offload.store.records import ClaimedJob, ClaimRequest

MAX_ROUNDS = 2
"""How often one exchange claims at most, and parks what it finds of paused tasks: meanwhile it
holds the rows of the jobs that it has finished."""


class Claims(NamedTuple):
    """What an exchange has claimed; the other attributes are those of `ExchangeResult`."""

    jobs: Sequence[ClaimedJob]
    limited: LimitedResult | None
    seconds: float
    queues_in: float | None = None
    has_parked: bool = False
    is_partial: bool = False


type Claim = Callable[[ClaimRequest, LimitedRequest | None], Claims]
"""Claims as many jobs as are requested, of paused tasks too."""


class PauseRounds(ParkedJobs):
    """Claims jobs, and gives them back if one is of a paused task."""

    def claim_unpaused(
        self, claim: Claim, request: ClaimRequest, limited: LimitedRequest | None
    ) -> Claims:
        """Claim jobs in the caller's transaction, none of them of a paused task.

        While no task is paused, it claims as if there were no pauses. Else a savepoint undoes a
        claim that finds jobs of paused tasks, with all that it wrote about limits and keys; they
        are parked, and the next round finds those behind them.
        """
        paused = request.paused_tasks or (limited.paused_tasks if limited else {})
        if not paused:
            return claim(request, limited)
        rounds = _Rounds(self, claim, paused)
        for _ in range(MAX_ROUNDS):
            claims = rounds.run(request, limited)
            if claims is not None:
                return claims._replace(has_parked=rounds.has_parked)
        # Thousands of jobs of paused tasks follow each other: claim those before them now, and
        # those behind them soon.
        claims = rounds.run(_before(rounds.found, request, paused), None)
        if claims is None:
            claims = claim(_nothing(request), None)
        return claims._replace(has_parked=True, is_partial=True)


class _Rounds:
    """The rounds of one exchange.

    Attributes:
        found: the jobs that the last claim found, most urgent first, if some are of paused tasks.
        has_parked: whether jobs were parked.
    """

    def __init__(self, store: ParkedJobs, claim: Claim, paused: Mapping[str, int]) -> None:
        self._store = store
        self._claim = claim
        self._paused = paused
        self.found: Sequence[ClaimedJob] = ()
        self.has_parked = False

    def run(self, request: ClaimRequest, limited: LimitedRequest | None) -> Claims | None:
        """Claim jobs; None if some are of paused tasks, which are parked instead."""
        try:
            with transaction.atomic(self._store.using):
                claims = self._claim(request, limited)
                failpoint("pauses.claimed")
                found = [job for job in claims.jobs if job.task_path in self._paused]
                if not found:
                    return claims
                raise _Undo  # noqa: TRY301  # it must leave the savepoint
        except _Undo:
            self._store.settle_rollback()
            self.found = claims.jobs
            self._store.park(found, self._paused)
            self.has_parked = True
            return None


class _Undo(Exception):
    """Ends a savepoint, so that nothing of a claim remains."""


def _nothing(request: ClaimRequest) -> ClaimRequest:
    """Return a request for no jobs."""
    return replace(request, sync_slots=0, async_slots=0, ids=None)


def _before(
    found: Sequence[ClaimedJob], request: ClaimRequest, paused: Mapping[str, int]
) -> ClaimRequest:
    """Return a request for the jobs that are more urgent than the first of a paused task."""
    counts = {False: 0, True: 0}
    for is_async in counts:
        for job in found:
            if bool(job.is_async) is not is_async or job.limit_key is not None:
                continue
            if job.task_path in paused:
                break
            counts[is_async] += 1
    return replace(request, sync_slots=counts[False], async_slots=counts[True])
