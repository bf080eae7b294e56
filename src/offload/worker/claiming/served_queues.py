"""Which queues a worker serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offload.policies.queue_limits import QueueLimits

if TYPE_CHECKING:
    from offload.store.records import ClaimedJob


@dataclass(slots=True)
class ServedQueues:
    """The queues of one backend that a worker serves.

    Attributes:
        backend: alias in TASKS.
        names: of the queues; empty for all queues with jobs.
        excluded: names of queues that are not served.
        settings: the limits of the settings, by queue.
        paused: names of queues that are not served while they are paused.
        paused_tasks: the ids of the pauses of tasks, by the path of the task.
        limits: the limits in the settings, of the queues that have limits in force, by name.
    """

    backend: str
    names: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    settings: Mapping[str, QueueLimits] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    paused_tasks: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, QueueLimits] = field(default_factory=dict)

    @property
    def open_names(self) -> list[str] | None:
        """The named queues that are not paused; None if all queues with jobs are served."""
        return sorted(self.names - self.paused) if self.names else None

    @property
    def registered_names(self) -> list[str]:
        """The names in the worker's row; an empty one at the start precedes excluded queues."""
        if self.excluded and not self.names:
            return ["", *sorted(self.excluded)]
        return sorted(self.names)

    def limits_among(self, names: Iterable[str]) -> dict[str, QueueLimits]:
        """Return the limits of those of the named queues that the worker serves."""
        if not self.limits:
            return {}
        return {name: self.limits[name] for name in self.among(names) if name in self.limits}

    def among(self, names: Iterable[str]) -> set[str]:
        """Return those of the named queues that the worker serves, and that are not paused."""
        queues = set(names) - self.excluded - self.paused
        if self.names:
            queues &= self.names
        return queues

    def includes(self, job: ClaimedJob) -> bool:
        """Return whether the worker runs a job, unless its queue is paused."""
        return job.backend == self.backend and bool(self.among([job.queue_name]))
