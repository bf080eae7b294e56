"""Sends messages about ready jobs whose messages the broker may not have."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from offload.backends.messages import JobMessage
from offload.worker.timers import jittered
from offload.worker.upkeep.repeats import Repeats

if TYPE_CHECKING:
    from offload.backends.messages import Messenger
    from offload.store.base import Store
    from offload.store.records import ReadyJob
    from offload.worker.claiming.poller import Poller

INTERVAL = 1.0
"""Seconds between two looks without a hint."""
HINT_DELAY = 0.05
"""Seconds from a hint to a look, so that many hints cause few."""
LIMIT_DELAY = 0.25
"""Seconds between two looks while limits let jobs start, at least."""
MAX_TURNS = 8
"""Messages that one look sends at most about a queue where limits decide which jobs start."""
MAX_JOBS = 500
"""Jobs of each queue and kind, the next ones to run, that a look reads at most."""
MAX_DELAY_FACTOR = 8
"""The time until another message about a job doubles with each one, up to this many times."""


class _Sent(NamedTuple):
    """The last message about a job."""

    version: int
    """The job's version."""
    again_at: float
    """When to send another one (monotonic clock)."""
    delay: float


class UnsentJobs:
    """A duty: sends messages about ready jobs that no worker claims.

    The process that enqueues a job sends its message, too. Here messages are sent at once about
    jobs that were made ready in another way, such as retried ones, and about all others if they
    have waited for long: their message was lost, or the broker did not respond. A superfluous
    message does no harm, as a job can be claimed only once.

    Args:
        store: the queue.
        poller: knows the open queues.
        messenger: sends the messages.
        clock: returns seconds.

    """

    def __init__(
        self,
        store: Store,
        poller: Poller,
        messenger: Messenger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._due_at = 0.0
        self._looked_at = 0.0
        self._store = store
        self._poller = poller
        self._messenger = messenger
        self._clock = clock
        self._sent: dict[str, _Sent] = {}
        """Of the jobs that the last look has read."""
        longest = MAX_DELAY_FACTOR * messenger.resend_after
        self._repeated_turns = Repeats(longest)
        self._repeated_openings = Repeats(longest)
        self._failures = messenger.failures

    @property
    def due_at(self) -> float:
        """When to look next (monotonic clock): at intervals, and when limits let jobs start."""
        return min(self._due_at, max(self._poller.limited.due_at, self._looked_at + LIMIT_DELAY))

    def expect(self) -> None:
        """Look soon, as jobs were made ready."""
        self._due_at = min(self._due_at, self._clock() + HINT_DELAY)

    def run_if_due(self, now: float) -> None:
        """Look if it is time."""
        if now >= self.due_at:
            self._due_at = now + jittered(INTERVAL)
            self._looked_at = now
            self.send()

    def send(self) -> None:
        """Read the jobs that run next, and send messages about some of them."""
        if self._failures != self._messenger.failures:
            self._failures = self._messenger.failures
            self._sent.clear()  # some of these messages did not reach the broker
            self._repeated_turns.clear()
            self._repeated_openings.clear()
        now = self._clock()
        jobs = self._next_ready()
        turns = self._turns(jobs, now)
        due = [job for job in jobs if self._is_due(job, now) or job.id in turns]
        known = self._sent
        self._sent = {job.id: known[job.id] for job in jobs if job.id in known}
        for job in due:
            self._sent[job.id] = self._after(known.get(job.id), job, now)
        self._messenger.send(
            JobMessage(job.queue_name, job.is_async, job.priority, job.id, may_wait=job.may_wait)
            for job in due
        )
        self._open_limits(now)

    def _open_limits(self, now: float) -> None:
        """Send a message for each queue of which jobs with a limit may start.

        The worker that gets it finds out how many may start, and goes on while some may.
        """
        if self._poller.limited.due_at > now:
            return
        found = self._store.queues_to_open(self._poller.backend)
        queues = self._poller.open_among({queue for queue, _ in found})
        fronts = {pair: front for pair, front in found.items() if pair[0] in queues}
        due = self._repeated_openings.due(fronts, now)
        self._messenger.send(
            JobMessage(queue, is_async, 0, f"{queue} {number}", has_limit=True)
            for queue, is_async in sorted(due)
            for number in range(MAX_TURNS)
        )
        again_in = LIMIT_DELAY if due else self._store.seconds_to_limited()
        if again_in == 0.0:  # workers are busy, or these are paused queues or another backend's
            again_in = INTERVAL
        self._poller.limited.expect_only_in(again_in, are_left=bool(queues))

    def _next_ready(self) -> list[ReadyJob]:
        backend = self._poller.backend
        queues = self._store.ready_queues(backend)
        return [
            job
            for queue in sorted(self._poller.open_among(queues))
            for is_async in (False, True)
            for job in self._store.next_ready(backend, queue, is_async=is_async, limit=MAX_JOBS)
        ]

    def _is_due(self, job: ReadyJob, now: float) -> bool:
        sent = self._sent.get(job.id)
        if sent is None or sent.version != job.version:
            return job.waited >= self._messenger.resend_after or not job.is_untouched
        return now >= sent.again_at

    def _turns(self, jobs: Sequence[ReadyJob], now: float) -> set[str]:
        """Return jobs whose messages let workers claim from queues with limits, by their ids.

        Such messages are sent again: a message has no further effect if no job could start.
        """
        first: defaultdict[str, list[ReadyJob]] = defaultdict(list)
        for job in jobs:
            of_queue = first[job.queue_name]
            if len(of_queue) < MAX_TURNS and self._poller.has_limits(job.queue_name):
                of_queue.append(job)
        waiting = {
            queue: [job.id for job in some if job.waited >= INTERVAL]
            for queue, some in first.items()
        }
        fronts = {queue: ids[0] for queue, ids in waiting.items() if ids}
        due = self._repeated_turns.due(fronts, now)
        return {pk for queue in due for pk in waiting[queue]}

    def _after(self, sent: _Sent | None, job: ReadyJob, now: float) -> _Sent:
        """Return when to send the next message about a job, after one that is sent now."""
        shortest = self._messenger.resend_after
        delay = shortest
        if sent is not None and sent.version == job.version:
            delay = min(2 * sent.delay, MAX_DELAY_FACTOR * shortest)
        return _Sent(job.version, now + delay, delay)
