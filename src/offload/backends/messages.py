"""Messages by which a broker tells workers of ready jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class JobMessage(NamedTuple):
    """What a message says about a job that is ready.

    Attributes:
        queue_name: its queue.
        is_async: its kind.
        priority: its priority.
        id: its id, as the store's `key` returns it.
        has_limit: whether its task has a limit, so that a worker may start another job instead.
        may_wait: whether a process may claim it before it has a free slot.
    """

    queue_name: str
    is_async: bool
    priority: int
    id: str
    has_limit: bool = False
    may_wait: bool = False


class Messenger(Protocol):
    """Sends messages about ready jobs; a message may get lost, or arrive more than once.

    Attributes:
        resend_after: seconds after which a message about a job that still waits is sent again.
        failures: how often messages could not be sent.
    """

    resend_after: float
    failures: int

    def send(self, messages: Iterable[JobMessage]) -> None:
        """Send messages in the background, without waiting; never raises."""
