"""The pauses and limits of queues and tasks whose jobs are recorded in memory."""

from __future__ import annotations

from collections import defaultdict

from offload.store.queue_records import Pause, QueueRule
from offload.timestamps import now_microseconds, to_datetime

_rules: defaultdict[str, dict[str, QueueRule]] = defaultdict(dict)
"""The pauses and limits of queues, by backend and name."""
_task_pauses: defaultdict[str, dict[str, Pause]] = defaultdict(dict)
"""The pauses of tasks, by backend and path."""


def rules_of(backend: str) -> dict[str, QueueRule]:
    """Return the pauses and limits of a backend's queues, by name, without ended pauses."""
    rules = _rules[backend]
    for name, (pause, change) in rules.items():
        if pause is not None and _has_ended(pause):
            rules[name] = QueueRule(None, change)
    return rules


def task_pauses_of(backend: str) -> dict[str, Pause]:
    """Return the pauses of a backend's tasks, by path, without ended ones."""
    pauses = _task_pauses[backend]
    for path in [path for path, pause in pauses.items() if _has_ended(pause)]:
        del pauses[path]
    return pauses


def clear_rules(backend: str | None) -> None:
    """Forget the rules of one backend, or of all."""
    if backend is None:
        _rules.clear()
        _task_pauses.clear()
    else:
        _rules.pop(backend, None)
        _task_pauses.pop(backend, None)


def _has_ended(pause: Pause) -> bool:
    return pause.until is not None and pause.until <= to_datetime(now_microseconds())
