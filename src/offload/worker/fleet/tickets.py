"""Messages that a process has received, until their jobs have finished here."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from offload.backends.messages import JobMessage

if TYPE_CHECKING:
    from offload.store.records import ClaimedJob, ClaimKey


class Ticket:
    """A received message, and the jobs that run here because of it.

    If limits decide which jobs start next, whichever may start are claimed, in place of those that
    the message names: each id stands for one job.

    Args:
        queue_name: their queue.
        is_async: their kind.
        ids: their ids, as the store's `key` returns them.
        has_limit: whether their task has a limit.
        may_wait: whether they may be claimed before a slot is free for them.

    Attributes:
        done: set once none of them is to be claimed or running here.
        waiting: the ids of those that are to be claimed.
        claims: those that run here, or whose outcomes were not written yet.
    """

    def __init__(
        self,
        queue_name: str,
        *,
        is_async: bool,
        ids: Sequence[str],
        has_limit: bool = False,
        may_wait: bool = False,
    ) -> None:
        self.queue_name = queue_name
        self.is_async = is_async
        self.has_limit = has_limit
        self.may_wait = may_wait
        self.waiting = dict.fromkeys(ids)
        self.claims: set[ClaimKey] = set()
        self.done = threading.Event()

    def end_claims(self, active: Collection[ClaimKey]) -> list[str]:
        """Forget the claims that are not active any more; return the ids of their jobs."""
        ended = self.claims.difference(active)
        self.claims -= ended
        return [pk for pk, _ in ended]

    def settle(self) -> bool:
        """Return whether the message is done; if so, wake the thread that waits for it."""
        if self.waiting or self.claims:
            return False
        self.done.set()
        return True

    def give_up(self, keep: int = 0) -> Iterator[JobMessage]:
        """Yield messages, of the usual priority, about jobs that are no more to be claimed here.

        Args:
            keep: how many are to be claimed here.
        """
        for pk in list(self.waiting)[keep:]:
            del self.waiting[pk]
            yield JobMessage(self.queue_name, self.is_async, 0, pk, self.has_limit, self.may_wait)


def share_out(claimed: Sequence[ClaimedJob], tickets: Sequence[Ticket], asked: int) -> None:
    """Divide jobs among the tickets whose ids stand for any; drop the ids that got none.

    Args:
        claimed: the jobs that may start.
        tickets: those in whose place they were claimed.
        asked: how many jobs were requested; if more than claimed, limits hold up the rest.
    """
    jobs = iter(claimed)
    for ticket in tickets:
        while ticket.waiting and (job := next(jobs, None)) is not None:
            ticket.waiting.popitem()
            ticket.claims.add(job.key)
    if tickets:
        tickets[0].claims.update(job.key for job in jobs)
    if len(claimed) < asked:
        for ticket in tickets:
            ticket.waiting.clear()
