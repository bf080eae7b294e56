"""Which queues a worker serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedQueues:
    """The queues of one backend that a worker serves.

    Attributes:
        backend: alias in TASKS.
        names: of the queues; empty for all queues with jobs.
        excluded: names of queues that are not served.
    """

    backend: str
    names: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    def among(self, names: Iterable[str]) -> set[str]:
        """Return those of the named queues that the worker serves."""
        queues = set(names) - self.excluded
        if self.names:
            queues &= self.names
        return queues
