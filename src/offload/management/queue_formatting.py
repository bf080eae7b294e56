"""The output of `offload_queues`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offload.management.formatting import format_line, format_rows, format_time
from offload.management.pause_formatting import format_pause, format_paused, status_document
from offload.policies.queue_limits import NAMES
from offload.queues.words import describe
from offload.timestamps import to_iso

if TYPE_CHECKING:
    from offload.queues.status import QueueStatus

QUEUES_HEADER = (
    *("NAME", "PAUSED", "CONCURRENCY", "RATE", "MAX QUEUED"),
    *("WAITING", "SCHEDULED", "RUNNING"),
)
ABSENT = "-"


def format_queues(queues: Sequence[QueueStatus]) -> str:
    """Return one line per queue, below a header."""
    return format_rows([QUEUES_HEADER, *map(_row, queues)])


def format_queue(queue: QueueStatus) -> str:
    """Return the details of a queue, one per line."""
    details: dict[str, Any] = {"name": queue.name, "paused": format_paused(queue)}
    details |= format_pause(queue)
    details |= {name.replace("_", " "): _limit(queue, name) for name in NAMES}
    if "burst" in describe(queue.limits):
        details["burst"] = _limit(queue, "burst")
    if queue.limits_changed_at is not None:
        by = f" by {queue.limits_changed_by}" if queue.limits_changed_by else ""
        details["changed"] = f"{format_time(queue.limits_changed_at)}{by}"
        if queue.limits_reason:
            details["reason of change"] = queue.limits_reason
    details |= {name: f"{getattr(queue, name):,}" for name in ("waiting", "scheduled", "running")}
    return "\n".join(format_line(label, value) for label, value in details.items())


def queue_document(queue: QueueStatus) -> dict[str, Any]:
    """Return a queue as JSON values."""
    return {
        "name": queue.name,
        **status_document(queue),
        "limits": describe(queue.limits),
        "settings": describe(queue.settings),
        "limits_reason": queue.limits_reason,
        "limits_changed_by": queue.limits_changed_by,
        "limits_changed_at": to_iso(queue.limits_changed_at),
        "waiting": queue.waiting,
        "scheduled": queue.scheduled,
        "running": queue.running,
    }


def _row(queue: QueueStatus) -> tuple[str, ...]:
    counts = (f"{getattr(queue, name):,}" for name in ("waiting", "scheduled", "running"))
    limits = (_limit(queue, name) for name in NAMES)
    return (queue.name, format_paused(queue), *limits, *counts)


def _limit(queue: QueueStatus, name: str) -> str:
    """Return a limit in force, and the one of the settings if it is another."""
    limit, setting = (describe(limits).get(name) for limits in (queue.limits, queue.settings))
    text = ABSENT if limit is None else _number(limit)
    if limit != setting:
        text += f" (settings: {'none' if setting is None else _number(setting)})"
    return text


def _number(limit: int | str) -> str:
    return f"{limit:,}" if isinstance(limit, int) else limit
