"""The output of `offload_tasks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offload.management.formatting import format_line, format_rows
from offload.management.pause_formatting import format_pause, format_paused, status_document

if TYPE_CHECKING:
    from offload.paused_tasks.status import TaskStatus

TASKS_HEADER = ("PATH", "PAUSED", "BY", "PUT ASIDE", "REASON")


def format_tasks(tasks: Sequence[TaskStatus]) -> str:
    """Return one line per task, below a header."""
    rows = [
        (task.path, format_paused(task), task.changed_by or "-", f"{task.put_aside:,}", task.reason)
        for task in tasks
    ]
    return format_rows([TASKS_HEADER, *rows])


def format_task(task: TaskStatus) -> str:
    """Return the details of a task, one per line."""
    details: dict[str, Any] = {"task": task.path, "paused": format_paused(task)}
    details |= format_pause(task)
    if task.is_paused:
        details["put aside"] = f"{task.put_aside:,}"
    return "\n".join(format_line(label, value) for label, value in details.items())


def task_document(task: TaskStatus) -> dict[str, Any]:
    """Return a task as JSON values."""
    return {
        "path": task.path,
        **status_document(task),
        "put_aside": task.put_aside,
    }
