"""Claims the jobs of the messages that a process has received, in place of a poller."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from offload.lifecycle import JobState
from offload.notifier import Hint
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimRequest
from offload.worker.claiming.limited_jobs import LimitedJobs
from offload.worker.claiming.poller import Poller
from offload.worker.fleet.tickets import Ticket, share_out
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.backends.messages import JobMessage
    from offload.notifier import Listener
    from offload.store.records import ClaimKey, ExchangeResult, FinishedJob
    from offload.worker.fleet.pool import FleetPool
    from offload.worker.pools.base import Pool

MAX_WAITING_SECONDS = 1.0
"""Seconds that jobs wait for a slot here, and are expected to wait, at most: then another message
lets other processes run them."""
KINDS = (False, True)
"""The kinds of jobs, by `is_async`."""


class ReceivedJobs(Poller):
    """Claims the jobs of messages, and polls for nothing.

    Jobs are claimed by their ids. Only those that may wait are claimed before a slot is free, as
    far ahead as in any worker: when a process dies, the others have lost nothing.

    For tasks and queues with limits, it claims whichever jobs may start next, as any worker does:
    as many as there are ids in the messages.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limited = LimitedTickets(self)
        self._poll_at = NEVER
        self._incoming: deque[Ticket] = deque()
        """Messages that other threads have received, and that the loop has not taken yet."""
        self._tickets: dict[Ticket, float] = {}
        """Messages that are not done, and when each arrived (monotonic clock)."""
        self._asked: dict[bool, Sequence[Ticket]] = {}
        """Those for which the last claims within limits were made, by whether their tasks have
        limits."""

    def add(self, ticket: Ticket) -> None:
        """Add the jobs of a message; called from any thread."""
        self._incoming.append(ticket)

    @cached_property
    def _listener(self) -> Listener:
        return self._notifier.listen(Hint.CONTROL, Hint.QUEUES, Hint.WATCH)

    def run_if_due(self, now: float) -> None:
        """Do nothing: messages take the place of polls."""

    # --- claims -----------------------------------------------------------------------------

    @property
    def expects_jobs(self) -> bool:
        self._take_incoming()
        return any(ticket.waiting for ticket in self._tickets)

    def should_claim(self, pool: Pool) -> bool:
        self._take_incoming()
        return any(
            ticket.waiting and not ticket.has_limit and self._has_room(ticket, pool)
            for ticket in self._tickets
        )

    def claim_request(self, pool: Pool) -> ClaimRequest:
        self._take_incoming()
        self.rules.read_if_old()
        self._drop_closed()
        ids: list[str] = []
        for is_async in KINDS:
            ids += self._next_ids(pool, is_async=is_async)
        if ids:
            paused = self._served.paused_tasks
            return ClaimRequest(self._served.backend, (), ids=tuple(ids), paused_tasks=paused)
        return self._request_within_limits(pool)

    def limited_due_in(self, pool: Pool) -> float:
        return 0.0 if self.limited_request(pool) else NEVER

    def limited_request(self, pool: Pool) -> LimitedRequest | None:
        """Return how many jobs of tasks with a limit to claim, of one queue and kind."""
        tickets, slots = self._next_limited(pool, has_limit=True)
        if not tickets:
            return None
        queue = tickets[0].queue_name
        limits = self._served.limits_among([queue])
        paused = self._served.paused_tasks
        return LimitedRequest(
            self._served.backend, (queue,), (), *slots, limits=limits, paused_tasks=paused
        )

    def learn(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Remember which of the requested jobs run here; other workers have or had the rest."""
        ordinary = [job for job in result.claimed if job.limit_key is None]
        if request.ids is None:
            if request:
                asked = request.sync_slots + request.async_slots
                share_out(ordinary, self._asked[False], asked)
            return
        claimed = {job.id: job.key for job in ordinary}
        for ticket in self._tickets:
            if self._is_limited(ticket):
                continue
            for pk in [pk for pk in request.ids if pk in ticket.waiting]:
                del ticket.waiting[pk]
                if pk in claimed:
                    ticket.claims.add(claimed[pk])

    def learn_limited(self, request: LimitedRequest, result: ExchangeResult) -> None:
        """Remember which jobs of tasks with a limit run here."""
        claimed = [job for job in result.claimed if job.limit_key is not None]
        share_out(claimed, self._asked[True], request.sync_slots + request.async_slots)

    def jobs_run_again(self, finished: Sequence[FinishedJob]) -> None:
        """Tell a worker with duties, which makes them ready when they are due, of their time."""
        if any(outcome.state == JobState.SCHEDULED for _, outcome in finished):
            self._hints.jobs_made_ready()

    # --- messages ---------------------------------------------------------------------------

    def settle(self, active: Collection[ClaimKey]) -> None:
        """Forget the messages that are done; with a limit, a finished job lets another start.

        Args:
            active: the claims that run here, or whose outcomes were not written yet.
        """
        for ticket in list(self._tickets):
            ended = ticket.end_claims(active)
            if self._is_limited(ticket):
                ticket.waiting |= dict.fromkeys(ended)
            if ticket.settle():
                del self._tickets[ticket]

    def give_up_waiting(self, pool: FleetPool) -> list[JobMessage]:
        """Return messages about jobs that wait here for long, so that other processes run them.

        So jobs with limits do not occupy a slot of Celery's for longer, one after the other.
        """
        latest = time.monotonic() - MAX_WAITING_SECONDS
        room = pool.jobs_within(MAX_WAITING_SECONDS)
        messages: list[JobMessage] = []
        for ticket, since in self._tickets.items():
            keep = len(ticket.waiting)
            if since < latest:
                keep = 0
            elif not (ticket.is_async or self._is_limited(ticket)):
                keep = min(keep, room)
                room -= keep
            messages += ticket.give_up(keep)
        return messages

    def abandon(self) -> None:
        """Wake the threads that wait for their messages, as nothing runs here any more."""
        self._take_incoming()
        for ticket in self._tickets:
            ticket.done.set()

    def _take_incoming(self) -> None:
        while self._incoming:
            self._tickets[self._incoming.popleft()] = time.monotonic()

    def _drop_closed(self) -> None:
        """Drop messages of paused queues: a worker with duties sends them after the pause."""
        queues = {ticket.queue_name for ticket in self._tickets}
        closed = queues - self._served.among(queues)
        for ticket in self._tickets:
            if ticket.queue_name in closed:
                ticket.waiting.clear()

    def _has_room(self, ticket: Ticket, pool: Pool) -> bool:
        """Return whether to claim a job of a message now."""
        if pool.free_slots(is_async=ticket.is_async) > 0:
            return True
        may_wait = ticket.may_wait and not self._is_limited(ticket)
        return may_wait and pool.should_refill(is_async=ticket.is_async)

    def _next_ids(self, pool: Pool, *, is_async: bool) -> Iterator[str]:
        """Yield the jobs to claim: one for each free slot, and more if these may wait."""
        free, room = pool.free_slots(is_async=is_async), pool.capacity(is_async=is_async)
        for ticket in self._tickets:
            if ticket.is_async is not is_async or self._is_limited(ticket):
                continue
            for pk in islice(ticket.waiting, room if ticket.may_wait else free):
                yield pk
                free, room = max(0, free - 1), room - 1

    # --- limits -----------------------------------------------------------------------------

    def _is_limited(self, ticket: Ticket) -> bool:
        """Return whether limits decide which jobs start for a message."""
        return ticket.has_limit or ticket.queue_name in self._served.limits

    def _next_limited(self, pool: Pool, *, has_limit: bool) -> tuple[list[Ticket], tuple[int, int]]:
        """Return the messages of the first queue and kind where limits decide and a slot is free.

        Args:
            pool: runs the jobs.
            has_limit: whether the limits of the task decide, or only those of the queue.

        Returns:
            the messages, and how many sync and async jobs to claim: no more than start at once.
        """
        groups: defaultdict[tuple[str, bool], list[Ticket]] = defaultdict(list)
        for ticket in self._tickets:
            if ticket.waiting and ticket.has_limit is has_limit and self._is_limited(ticket):
                groups[ticket.queue_name, ticket.is_async].append(ticket)
        for (_, is_async), tickets in groups.items():
            if free := pool.free_slots(is_async=is_async):
                self._asked[has_limit] = tickets
                count = min(free, sum(len(ticket.waiting) for ticket in tickets))
                return tickets, ((0, count) if is_async else (count, 0))
        return [], (0, 0)

    def _request_within_limits(self, pool: Pool) -> ClaimRequest:
        """Return how many jobs of one queue with limits to claim."""
        tickets, slots = self._next_limited(pool, has_limit=False)
        queues = [ticket.queue_name for ticket in tickets[:1]]
        limits = self._served.limits_among(queues)
        free = pool.free_slots(is_async=False), pool.free_slots(is_async=True)
        request = ClaimRequest(self._served.backend, queues, *slots, limits=limits, free=free)
        return replace(request, paused_tasks=self._served.paused_tasks)


class LimitedTickets(LimitedJobs):
    """Tells `ReceivedJobs` which jobs with a limit were claimed."""

    def __init__(self, received: ReceivedJobs) -> None:
        super().__init__(received._served)  # noqa: SLF001  # of this module
        self._received = received

    def learn(self, request: LimitedRequest, result: ExchangeResult) -> None:
        self._received.learn_limited(request, result)
