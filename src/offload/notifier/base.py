"""Hints: "look again". They carry no data; who loses one is slower, not wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum


class Hint(StrEnum):
    """What happened, and so who should look."""

    WORK = "work"
    """A job is ready or scheduled: engines look."""
    CONTROL = "control"
    """Somebody wants a running job cancelled: engines look."""
    WATCH = "watch"
    """Somebody watches jobs: engines tell when jobs change, for a while."""
    CHANGED = "changed"
    """Jobs have changed: those who watch some look."""


class Listener(ABC):
    """Receives hints in one thread."""

    check_interval: float
    """Seconds after which `changed` or a new connection should be tried although no hint came."""
    poll_interval: float | None = None
    """Seconds between two looks at the queue without a hint; None if hints cannot be relied on."""
    repoll_delay: float = 0.01
    """Seconds from a hint to a look at the whole queue: after the jobs that may wait were taken.

    It tells when scheduled jobs are due, and finds jobs whose own hints were left out.
    """

    @abstractmethod
    def fileno(self) -> int | None:
        """Return a descriptor that is readable when hints wait; None if there is none."""

    @abstractmethod
    def receive(self) -> set[Hint]:
        """Return the hints that came, without waiting."""

    def changed(self) -> bool:
        """Tell whether somebody wrote to the database since the last call, if that is cheap."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""


class Notifier(ABC):
    """Gives hints and listens for them, for one database."""

    @abstractmethod
    def notify(self, hint: Hint) -> None:
        """Give a hint, after the commit that it is about. Never raises."""

    @abstractmethod
    def listen(self, *hints: Hint) -> Listener:
        """Return a listener for these hints; it belongs to the calling thread."""

    def delivers_hints(self) -> bool:
        """Tell whether a hint reaches a listener of this process; asked by a check."""
        return True
