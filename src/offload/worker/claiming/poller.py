"""When a worker polls the queue, and how many jobs it claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.notifier import Hint
from offload.store.records import ClaimRequest
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.cooldown import Cooldown
from offload.worker.timers import NEVER, jittered

if TYPE_CHECKING:
    from offload.notifier import Listener, Notifier
    from offload.store.base import Store
    from offload.store.records import ExchangeResult, FinishedJob
    from offload.worker.change_hints import ChangeHints
    from offload.worker.claiming.reruns import Reruns
    from offload.worker.claiming.served_queues import ServedQueues
    from offload.worker.pools.base import Pool

ANY_QUEUE = "*"
"""Stands for all queues, until the queues with ready jobs have been queried."""
KINDS = frozenset({False, True})
"""The kinds of jobs, by `is_async`."""
MAX_POLL_INTERVAL = 15.0
"""Seconds between two polls, give or take a tenth, whatever hints arrive."""
MAX_HINT_DELAY = 0.25
"""Seconds from a hint to a poll at most, however many hints follow it."""
MIN_RECHECK_DELAY = 0.05
"""Seconds from a claim that found too few jobs to the next poll, at least."""
LOCKED_DELAY = 0.25
"""Seconds until the next try to promote a due job whose row is locked."""


class Poller:
    """Decides how many jobs to claim now, and when to poll the queue next.

    It receives hints, queries the whole queue while no hints arrive, promotes scheduled jobs
    that are due, and keeps the watermarks of claims.

    Args:
        store: the queue.
        notifier: listens for hints about it.
        served: the queues that the worker serves.
        poll_interval: seconds between two polls, if hints cannot be relied on.
        hints: notifies other processes of promoted jobs.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        *,
        served: ServedQueues,
        poll_interval: float,
        hints: ChangeHints,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._served = served
        self._poll_interval = poll_interval
        self._hints = hints
        self._clock = clock
        self._queues = sorted(served.names) or [ANY_QUEUE]
        self._watermarks = Watermarks(store, served, clock=clock)
        self._cooldown = Cooldown(clock)
        """The pause after a slow query of the whole queue."""
        self._expected_kinds = set(KINDS)
        """Kinds of which more jobs may be ready."""
        self._poll_at = 0.0
        self._poll_after_hints_at = NEVER
        self._promote_at = NEVER
        """When the next scheduled job is due, as of the last poll."""
        self._recheck_delay = MIN_RECHECK_DELAY
        self.reruns: Reruns | None = None
        """For a draining worker: the jobs that run again soon."""

    # --- hints ------------------------------------------------------------------------------

    @cached_property
    def _listener(self) -> Listener:
        """Opened at first use, as it belongs to the thread that runs the worker."""
        return self._notifier.listen(Hint.WORK, Hint.CONTROL, Hint.WATCH)

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when hints arrive; None if there is none."""
        return self._listener.fileno()

    @property
    def max_wait(self) -> float:
        """Seconds after which `receive` should be called without a hint."""
        return self._listener.check_interval

    def receive(self, ready: Collection[int]) -> set[Hint]:
        """Receive hints after a wait, and update which jobs to expect.

        Args:
            ready: the descriptors that became ready; empty after a timeout.
        """
        hints: set[Hint] = set()
        descriptor = self.fileno()
        if descriptor is None or descriptor in ready:
            hints = self._listener.receive()
        if Hint.WORK in hints:
            self.expect_jobs()
            self._poll_after_hints()
        if not ready and self._listener.changed():
            self.expect_jobs()
        if self._expected_kinds and self._is_sweep_due:
            self.expect_jobs()  # a claim of one kind is a sweep for the other kind too
        return hints

    def close(self) -> None:
        self._listener.close()

    # --- claims -----------------------------------------------------------------------------

    @property
    def expects_jobs(self) -> bool:
        """Whether jobs may be ready, including those that only a sweep finds."""
        return bool(self._expected_kinds) or self._watermarks.needs_sweep

    def should_claim(self, pool: Pool) -> bool:
        """Return whether the pool needs more jobs of a kind of which some may be ready."""
        return any(pool.should_refill(is_async=is_async) for is_async in self._expected_kinds)

    def claim_request(self, pool: Pool) -> ClaimRequest:
        """Return how many jobs to claim now, and from where. The request is false if none."""
        slots = {is_async: pool.capacity(is_async=is_async) for is_async in self._expected_kinds}
        request = ClaimRequest(
            self._served.backend,
            self._queues,
            sync_slots=slots.get(False, 0),
            async_slots=slots.get(True, 0),
        )
        request = self._watermarks.narrow(request)
        if not request.queues:
            self._expected_kinds.clear()
        return request

    def learn(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Update which jobs to expect: after a claim that was not full, no more of its kind."""
        self._watermarks.learn(request, result)
        is_short = False
        has_claimed = False
        for is_async, claimed, full in request.count_by_kind(result.claimed):
            if claimed < full:
                self._expected_kinds.discard(is_async)
                is_short = True
                has_claimed = has_claimed or claimed > 0
        if is_short:
            self._recheck(has_claimed=has_claimed)

    # --- polls ------------------------------------------------------------------------------

    @property
    def due_at(self) -> float:
        """When to poll next."""
        return min(self._poll_at, self._poll_after_hints_at)

    def poll_within(self, seconds: float) -> None:
        """Poll after this time at the latest."""
        self._poll_at = min(self._poll_at, self._clock() + seconds)

    def run_if_due(self, now: float) -> None:
        """Poll if it is time."""
        if now < self.due_at:
            return
        # Scheduled first, so that a poll that raises is repeated.
        interval = min(self._listener.poll_interval or self._poll_interval, MAX_POLL_INTERVAL)
        self._poll_at = now + jittered(interval)
        if now >= self._poll_after_hints_at:
            self._poll_after_hints_at = NEVER
        self.poll()

    def poll(self) -> None:
        """Query which queues have ready jobs, and promote scheduled jobs that are due.

        A slow query is not repeated for a while. Meanwhile jobs are expected in every queue. A
        scheduled job is promoted if the last query found it; newer ones wait for the next query.
        """
        now = self._clock()
        if self._cooldown.is_over:
            with self._cooldown.measure():
                queues, due_in = self._watermarks.poll()
            if queues is None or self._served.among(queues):
                self.expect_jobs()
            self._promote_at = NEVER if due_in is None else now + due_in
        else:
            self.expect_jobs()
        if self._promote_at <= now:
            self.promote()
        else:
            self.poll_within(min(self._promote_at - now, self._cooldown.remaining or NEVER))

    def promote(self) -> None:
        """Make scheduled jobs ready that are due."""
        promoted = self._store.promote()
        if not promoted:  # another transaction has locked the row
            self.poll_within(max(LOCKED_DELAY, self._cooldown.remaining))
            return
        failpoint("worker.promoted")
        self.jobs_made_ready()
        if promoted < MAX_ROWS_PER_STATEMENT:
            self._promote_at = NEVER
        self.poll_within(0.0)

    def jobs_made_ready(self) -> None:
        """Expect jobs that this worker made ready, and notify others that may run them."""
        self.expect_jobs()
        self._hints.jobs_made_ready()

    def jobs_run_again(self, finished: Sequence[FinishedJob]) -> None:
        """Poll when the first of the jobs that run again later is due."""
        if self.reruns is not None:
            self.reruns.add(finished)
        delays = [outcome.delay for _, outcome in finished if outcome.state == JobState.SCHEDULED]
        if delays:
            self.poll_within(min(delays))

    def expect_jobs(self) -> None:
        """Claim jobs of both kinds as soon as the pool needs some."""
        self._expected_kinds.update(KINDS)

    # --- details ----------------------------------------------------------------------------

    @property
    def _is_sweep_due(self) -> bool:
        return self._watermarks.needs_sweep and not self._watermarks.seconds_to_sweep

    def _poll_after_hints(self) -> None:
        now = self._clock()
        # Not earlier: notifiers leave out hints that closely follow this one.
        self._poll_after_hints_at = now + self._listener.repoll_delay
        self._poll_at = min(self._poll_at, now + MAX_HINT_DELAY)

    def _recheck(self, *, has_claimed: bool) -> None:
        """Poll soon for ready jobs that the last claim skipped because their rows were locked.

        Another worker's claim locks more rows than it takes, for a moment; other transactions
        may lock rows for long.
        """
        if has_claimed:
            self._recheck_delay = min(self._poll_interval, MIN_RECHECK_DELAY)
            self.poll_within(self._recheck_delay)
        else:
            self._recheck_delay = min(self._poll_interval, 2 * self._recheck_delay)
            self.poll_within(max(self._recheck_delay, self._watermarks.seconds_to_sweep))
