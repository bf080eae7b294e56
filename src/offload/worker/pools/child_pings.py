"""Whether a child process with a long job still responds, or code of the job holds it up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from offload.store.records import ClaimedJob
from offload.text import to_terminal_text
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.pools.child_jobs import ChildJobs
from offload.worker.pools.time_limits import PING_INTERVAL, UNRESPONSIVE_TIMEOUT
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

MAX_JOBS_NAMED = 5


class ChildPings:
    """Asks a child with a long job to respond, and says when it does not.

    The child answers from its main thread, for which it needs its interpreter. Short jobs cost no
    ping.

    Args:
        pid: the process id of the child.
        channel: the worker's end of the connection.
        slots: where the child counts its answers.

    Attributes:
        is_unresponsive: whether the last answer is overdue.
    """

    def __init__(self, pid: int, channel: Channel, slots: SlotTable) -> None:
        self.is_unresponsive = False
        self._pid = pid
        self._channel = channel
        self._slots = slots
        self._sent = 0
        self._sent_at = 0.0

    def step(self, now: float, jobs: ChildJobs) -> None:
        """Ask if it is time to, and log once if the child does not answer, or answers again.

        Args:
            now: monotonic clock.
            jobs: those that the child holds.
        """
        is_answered = self._slots.answered >= self._sent
        if is_answered and self.is_unresponsive:
            logger.warning("Child process %s responds again.", self._pid)
            self.is_unresponsive = False
        if is_answered:
            self._ask_if_due(now)
        elif not self.is_unresponsive and now > self._sent_at + UNRESPONSIVE_TIMEOUT:
            self.is_unresponsive = True
            logger.warning(
                "Child process %s has not responded for %g s: code that holds its interpreter, "
                "such as a regular expression, keeps its jobs from going on. It may go on for "
                "ever, as only a timeout or a cancellation ends it. Running there: %s.",
                self._pid,
                UNRESPONSIVE_TIMEOUT,
                _describe(jobs.running),
            )

    def _ask_if_due(self, now: float) -> None:
        oldest = min((start for _, start in self._slots.running()), default=now)
        if now > max(oldest, self._sent_at) + PING_INTERVAL:
            self._sent += 1
            self._sent_at = now
            self._channel.send(MessageKind.PING)


def _describe(jobs: Sequence[ClaimedJob]) -> str:
    named = [f"{UUID(job.id)} ({to_terminal_text(job.task_path)})" for job in jobs[:MAX_JOBS_NAMED]]
    if len(jobs) > MAX_JOBS_NAMED:
        named.append(f"{len(jobs) - MAX_JOBS_NAMED} more")
    return ", ".join(named)
