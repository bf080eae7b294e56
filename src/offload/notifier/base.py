"""Hints: signals to poll again. They carry no data; a lost hint costs only time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum


class Hint(StrEnum):
    """The kinds of hints, each for the processes that should react."""

    WORK = "work"
    """A job is ready or scheduled: workers poll."""
    LIMITED = "limited"
    """A job with a limit waits, or one has finished: workers look at the keys of limits."""
    QUEUES = "queues"
    """A queue was paused or resumed: workers read which ones are."""
    WORKFLOW = "workflow"
    """A part of a workflow has ended, or a workflow is to be cancelled: workers tell its parts."""
    CONTROL = "control"
    """A running job is to be cancelled: workers check the jobs they hold."""
    WATCH = "watch"
    """A process has subscribers: workers send CHANGED for a while."""
    CHANGED = "changed"
    """Jobs have changed: watchers poll."""


class Listener(ABC):
    """Receives hints in one thread."""

    check_interval: float
    """Seconds after which to call `changed`, or to retry the connection, without a hint."""
    poll_interval: float | None = None
    """Seconds between two polls of the queue without a hint; None if hints are unreliable."""
    repoll_delay: float = 0.01
    """Seconds from a hint to a poll of the whole queue, after the jobs at its head were claimed.

    That poll finds the next scheduled job, and the jobs whose own hints were left out.
    """

    @abstractmethod
    def fileno(self) -> int | None:
        """Return a descriptor that is readable when hints have arrived; None if there is none."""

    @abstractmethod
    def receive(self) -> set[Hint]:
        """Return the hints that have arrived, without waiting."""

    def changed(self) -> bool:
        """Return True if the database was written since the last call, where a check is cheap."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""


class Notifier(ABC):
    """Sends hints, and listens for them, for one database."""

    @abstractmethod
    def notify(self, hint: Hint) -> None:
        """Send a hint about a committed change. Never raises."""

    @abstractmethod
    def listen(self, *hints: Hint) -> Listener:
        """Return a listener for these hints; it belongs to the calling thread."""

    def delivers_hints(self) -> bool:
        """Return True if a hint reaches a listener of this process; called by a system check."""
        return True
