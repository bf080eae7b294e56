"""The last tasks that ran eagerly in this process, so that `AsyncResult` finds their ids."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from offload.celery import states

MAX_KEPT = 1000
"""How many are kept."""


@dataclass(slots=True)
class EagerSnapshot:
    """A task that ran in the caller's process; it has the attributes of `Snapshot`."""

    task_id: str
    state: str
    result: Any
    traceback: str | None = None
    name: str | None = None
    call: tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]] = ((), {}, {})
    retries: int = 0
    queue: str | None = None
    children: list[str] = field(default_factory=list)
    date_done: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_finished: bool = True
    is_ignored: bool = False

    def revoke(self) -> None:
        """Replace the outcome, as Celery does."""
        self.state = states.REVOKED


_kept: OrderedDict[str, EagerSnapshot] = OrderedDict()


def keep(snapshot: EagerSnapshot) -> None:
    """Keep the snapshot of a task; forget the oldest one if there are too many."""
    _kept[snapshot.task_id] = snapshot
    while len(_kept) > MAX_KEPT:
        _kept.popitem(last=False)


def find_kept(task_id: str) -> EagerSnapshot | None:
    """Return the snapshot of a task that ran eagerly in this process; None for another task."""
    return _kept.get(task_id)


def forget_kept(task_id: str) -> None:
    """Forget a task that ran eagerly."""
    _kept.pop(task_id, None)
