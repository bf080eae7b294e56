"""The queues of a backend: their pauses and limits, and how many jobs wait."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend
from offload.backends.pauses import PauseStatus, pause_values
from offload.backends.queue_names import require_queue
from offload.lifecycle import JobState
from offload.policies.queue_limits import QueueLimits
from offload.store.queue_records import QueueRule


@dataclass(frozen=True, slots=True)
class QueueStatus(PauseStatus):
    """A queue, its pause, its limits, and its jobs that have not finished.

    Attributes:
        name: of the queue.
        limits: the limits in force.
        settings: the limits of the settings.
        limits_reason: why an operator has set others than those of the settings.
        limits_changed_by: the operator.
        limits_changed_at: when; None if no operator has set any.
        waiting: jobs that are ready, or wait for their limit.
        scheduled: jobs that wait for their time.
        running: jobs that run.
    """

    name: str
    limits: QueueLimits
    settings: QueueLimits
    limits_reason: str
    limits_changed_by: str
    limits_changed_at: datetime | None
    waiting: int
    scheduled: int
    running: int


def list(*, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> builtins.list[QueueStatus]:  # noqa: A001
    """Return the queues of a backend by name: of its settings, with rules, and with jobs.

    Args:
        backend: alias in TASKS.
    """
    task_backend = get_backend(backend)
    options = task_backend.settings
    rules, counts = task_backend.queue_rules(), task_backend.count_unfinished()
    names = {*task_backend.queues, *rules, *options.queue_limits}
    names |= {name for by in counts.values() for name in by}
    return [
        _status(name, rules.get(name), options.limits_of_queue(name), counts)
        for name in sorted(names)
    ]


def get(name: str, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> QueueStatus:
    """Return one queue.

    Args:
        name: of the queue.
        backend: alias in TASKS.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
    """
    task_backend = get_backend(backend)
    require_queue(task_backend, name)
    rules, counts = task_backend.queue_rules(), task_backend.count_unfinished(name)
    return _status(name, rules.get(name), task_backend.settings.limits_of_queue(name), counts)


def _status(
    name: str,
    rule: QueueRule | None,
    settings: QueueLimits,
    counts: dict[JobState, dict[str, int]],
) -> QueueStatus:
    pause, change = rule or QueueRule()
    count = {state: by.get(name, 0) for state, by in counts.items()}
    return QueueStatus(
        **pause_values(pause),
        name=name,
        limits=settings.replaced(change.limits),
        settings=settings,
        limits_reason=change.reason,
        limits_changed_by=change.changed_by,
        limits_changed_at=change.changed_at,
        waiting=count.get(JobState.READY, 0) + count.get(JobState.LIMITED, 0),
        scheduled=count.get(JobState.SCHEDULED, 0),
        running=count.get(JobState.RUNNING, 0),
    )
