"""When a worker polls the queue, and how many jobs it claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.notifier import Hint
from offload.store.records import ClaimRequest
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.worker.claiming.limited_jobs import MAX_DRAIN_DELAY, LimitedJobs, count_held
from offload.worker.claiming.queue_rules import KnownRules
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.cooldown import Cooldown
from offload.worker.timers import NEVER, jittered

if TYPE_CHECKING:
    from offload.notifier import Listener, Notifier
    from offload.store.base import Store
    from offload.store.limit_records import LimitedRequest
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
        self.rules = KnownRules(
            store,
            served,
            on_resume=self.expect_all,
            on_task_resume=self._expect_parked,
            clock=clock,
        )
        self._rates_until = 0.0
        """When the rates of queues let more jobs start, as of the last claims."""
        self._watermarks = Watermarks(store, served, clock=clock)
        self._cooldown = Cooldown(clock)
        """The pause after a slow query of the whole queue."""
        self.limited = LimitedJobs(served, clock=clock)
        self._expected_kinds = set(KINDS)
        """Kinds of which more jobs may be ready."""
        self._poll_at = 0.0
        self._poll_after_hints_at = NEVER
        self._promote_at = NEVER
        """When the next scheduled job is due, as of the last poll."""
        self.schedules_at = NEVER
        """When to look at the schedules, as of the last poll (monotonic clock)."""
        self._recheck_delay = MIN_RECHECK_DELAY
        self.workflow_notices_at = NEVER
        """When to take notices about workflows."""
        self.parked_at = 0.0
        """When to look for parked jobs whose pauses are over (monotonic clock): once at the start,
        as polls miss those of which the row of the pause was deleted."""
        self.reruns: Reruns | None = None
        """For a draining worker: the jobs that run again soon."""

    # --- hints ------------------------------------------------------------------------------

    @cached_property
    def _listener(self) -> Listener:
        """Opened at first use, as it belongs to the thread that runs the worker."""
        return self._notifier.listen(*sorted(set(Hint) - {Hint.CHANGED}))

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
        if Hint.LIMITED in hints:
            self.limited.expect()
        if Hint.QUEUES in hints:
            self.rules.expire()
            self.parked_at = 0.0  # jobs that other workers have parked before they stopped
        if Hint.WORKFLOW in hints:
            self.workflow_notices_at = 0.0
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
        return any(
            pool.should_refill(is_async=is_async) and self._room(pool, is_async=is_async) > 0
            for is_async in self._expected_kinds
        )

    def claim_request(self, pool: Pool) -> ClaimRequest:
        """Return how many jobs to claim now, and from where. The request is false if none."""
        self.rules.read_if_old()
        slots = {is_async: self._room(pool, is_async=is_async) for is_async in self._expected_kinds}
        queues = self._served.open_names
        request = ClaimRequest(
            self._served.backend,
            [ANY_QUEUE] if queues is None else queues,
            sync_slots=slots.get(False, 0),
            async_slots=slots.get(True, 0),
            paused_tasks=self._served.paused_tasks,
        )
        request = self._watermarks.narrow(request)
        if not request.queues:
            self._expected_kinds.clear()
        if request and (limits := self._served.limits_among(request.queues)):
            free = pool.free_slots(is_async=False), pool.free_slots(is_async=True)
            request = replace(request, limits=limits, free=free)
        return request

    def limited_due_in(self, pool: Pool) -> float:
        """Return the seconds until jobs with a limit may be claimed; infinity if none may."""
        return self.limited.due_in(pool, self._expected_kinds)

    def limited_request(self, pool: Pool) -> LimitedRequest | None:
        """Return how many jobs with a limit to claim now, and from where; None if none."""
        return self.limited.request(pool, self._expected_kinds)

    def learn(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Update which jobs to expect: after a claim that was not full, no more of its kind.

        Args:
            request: how many jobs were requested.
            result: of the exchange. Its jobs with a limit were not claimed by this request.
        """
        if any(job.limit_key is not None for job in result.claimed):
            ordinary = [job for job in result.claimed if job.limit_key is None]
            result = replace(result, claimed=ordinary)
        self._learn_rates(result)
        if result.is_partial:
            return
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

    @property
    def backend(self) -> str:
        """Alias in TASKS of the queues."""
        return self._served.backend

    def open_among(self, queues: Iterable[str]) -> set[str]:
        """Return those of some queues that the worker serves, and that are not paused."""
        self.rules.read_if_old()
        return self._served.among(queues)

    def has_limits(self, queue: str) -> bool:
        """Return whether a queue has limits, so that a job that ends may let another one start."""
        return queue in self._served.limits

    @property
    def awaits_rates(self) -> bool:
        """Whether a draining worker waits for the rate of a queue."""
        return self._clock() < self._rates_until

    def _learn_rates(self, result: ExchangeResult) -> None:
        """Look again when the rate of a queue lets more jobs start."""
        if result.queues_in is None:
            return
        self.poll_within(result.queues_in)
        if result.queues_in <= MAX_DRAIN_DELAY:
            self._rates_until = self._clock() + result.queues_in

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
                result, leaves_out_queues = self._watermarks.poll()
            if leaves_out_queues or self._served.among(result.queues):
                self.expect_jobs()
            self._promote_at = NEVER if result.scheduled_in is None else now + result.scheduled_in
            self.limited.expect_in(result.limited_in)
            self.schedules_at = NEVER if result.schedule_in is None else now + result.schedule_in
            if result.has_workflow_notices:
                self.workflow_notices_at = 0.0
            if result.has_parked:
                self._expect_parked()
        else:
            self.expect_jobs()
            self.schedules_at = now
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

    def jobs_ended(self, finished: Sequence[FinishedJob]) -> None:
        """Expect the jobs that may start because others have ended."""
        limits = self._served.limits
        for job, _ in finished:  # one pass without calls, as most jobs let no other one start
            if job.limit_key is not None:
                self.limited.expect()
            if job.workflow is not None:
                self.expect_jobs()  # in the exchange that releases them
            if limits and job.queue_name in limits:
                self.expect_all()

    def expect_all(self) -> None:
        """Claim jobs with a limit and others: a queue was resumed, or one of its jobs has ended."""
        self.expect_jobs()
        self.limited.expect()

    def expect_jobs(self) -> None:
        """Claim jobs of both kinds as soon as the pool needs some."""
        self._expected_kinds.update(KINDS)

    # --- details ----------------------------------------------------------------------------

    def _expect_parked(self) -> None:
        """Look soon for parked jobs, and for pauses of tasks."""
        self.parked_at = 0.0
        self.rules.expect_pauses()

    def _room(self, pool: Pool, *, is_async: bool) -> int:
        """Return how many jobs of a kind to claim: not into the slots of jobs with a limit."""
        capacity = pool.capacity(is_async=is_async)
        if not (capacity and self.limited.is_due(is_async=is_async)):
            return capacity
        own = pool.slots(is_async=is_async) - self.limited.share(pool, is_async=is_async)
        held = count_held(pool, is_async=is_async, are_limited=False)
        return min(capacity, max(0, own - held))

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
