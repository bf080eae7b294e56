"""Pauses and limits of queues, and pauses of tasks, as plain tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from offload.store.limit_records import LimitNumbers, OpenKey


class Pause(NamedTuple):
    """A pause of a queue, or of a task.

    Attributes:
        paused_at: since when.
        until: when it ends by itself; None if somebody must end it.
        reason: why; may be empty.
        is_public: whether the pages of waiting jobs show the reason.
        changed_by: the operator; may be empty.
        ends_in: seconds until it ends by itself, by the clock of the database when it was read.
    """

    paused_at: datetime
    until: datetime | None = None
    reason: str = ""
    is_public: bool = False
    changed_by: str = ""
    ends_in: float | None = None


class LimitsChange(NamedTuple):
    """The limits that an operator has set for a queue.

    Attributes:
        limits: by the names of `QueueLimits`, as JSON text; empty if none are set.
        reason: why; may be empty.
        changed_by: the operator; may be empty.
        changed_at: when; None if none are set.
    """

    limits: str = ""
    reason: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None


class QueueRule(NamedTuple):
    """What operators have decided about a queue.

    Attributes:
        pause: the pause that is in force; None if there is none.
        change: the limits that are set.
    """

    pause: Pause | None = None
    change: LimitsChange = LimitsChange()


class TaskPauseRow(NamedTuple):
    """A pause of a task.

    Attributes:
        id: of its row, which the `limit_slot` of parked jobs names.
        pause: the pause.
    """

    id: int
    pause: Pause


class Rules(NamedTuple):
    """What operators have decided about the queues and the tasks of a backend.

    Attributes:
        queues: of those queues that have rules, by name.
        tasks: the pauses that are in force, by the path of the task.
    """

    queues: dict[str, QueueRule]
    tasks: dict[str, TaskPauseRow]

    @property
    def paused_queues(self) -> dict[str, Pause]:
        """The pauses of queues that are in force, by name."""
        return {name: rule.pause for name, rule in self.queues.items() if rule.pause is not None}

    @property
    def limits(self) -> dict[str, str]:
        """The limits that operators have set, as JSON text, by the name of the queue."""
        return {name: rule.change.limits for name, rule in self.queues.items()}

    @property
    def pauses(self) -> list[Pause]:
        """The pauses of queues and of tasks that are in force."""
        return [*self.paused_queues.values(), *(row.pause for row in self.tasks.values())]

    @property
    def ids_of_paused(self) -> dict[str, int]:
        """The ids of the pauses of tasks, by the path of the task."""
        return {path: row.id for path, row in self.tasks.items()}

    def pause_of(self, queue_name: str, task_path: str) -> Pause | None:
        """Return the pause that keeps a job waiting: of its queue, or else of its task."""
        rule, row = self.queues.get(queue_name), self.tasks.get(task_path)
        if rule is not None and rule.pause is not None:
            return rule.pause
        return None if row is None else row.pause


class LimitedQueue(NamedTuple):
    """A queue with limits, locked by this transaction.

    Attributes:
        key: the queue as a key of a limit, and the limit's numbers.
        free: how many of its jobs may start.
        is_held_by_rate: whether more may start when its rate lets them.
        now: when it was locked, in microseconds, by the database's clock.
    """

    key: tuple[OpenKey, LimitNumbers]
    free: int
    is_held_by_rate: bool
    now: int


class QueueCaps(NamedTuple):
    """How many jobs a claim takes of queues with limits.

    Attributes:
        counts: sync and async jobs, by queue.
        now: when they start, in microseconds.
    """

    counts: dict[str, tuple[int, int]]
    now: int

    def limit(self, queue: str, count: int, *, is_async: bool) -> int:
        """Return how many of `count` jobs of a kind may be of a queue."""
        return min(count, self.counts[queue][is_async]) if queue in self.counts else count
