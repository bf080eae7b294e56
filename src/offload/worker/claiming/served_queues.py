"""Which queues a worker serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.store.records import ClaimedJob


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

    @property
    def registered_names(self) -> list[str]:
        """The names in the worker's row; an empty one at the start precedes excluded queues."""
        if self.excluded and not self.names:
            return ["", *sorted(self.excluded)]
        return sorted(self.names)

    def among(self, names: Iterable[str]) -> set[str]:
        """Return those of the named queues that the worker serves."""
        queues = set(names) - self.excluded
        if self.names:
            queues &= self.names
        return queues

    def includes(self, job: ClaimedJob) -> bool:
        """Return whether the worker runs a job."""
        return job.backend == self.backend and bool(self.among([job.queue_name]))
