"""Encodes a step as JSON: the task, partial, chain or group that gets each item of a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.tasks import Task
from django.utils import timezone

from offload.durations import seconds
from offload.partials import Partial
from offload.task_lookup import find_task
from offload.tasks import JOB_OPTIONS

EXPAND_PATH = "offload.workflows.expansion.expand"
"""The path of the task that makes the jobs."""


def encode_step(step: Any) -> dict[str, Any]:
    """Return a task, a partial, a chain or a group as JSON, with the nodes in its arguments."""
    if isinstance(step, Partial):
        return {**encode_step(step.task), "args": list(step.args), "kwargs": dict(step.kwargs)}
    if isinstance(step, Task):
        return {"task": step.module_path, "options": _changed_options(step)}
    return {"kind": step.kind, "steps": [encode_step(each) for each in step.steps]}


def _changed_options(task: Task[..., Any]) -> dict[str, Any]:
    """Return the options of `using`, which are stored with a job."""
    declared = find_task(task.module_path)
    changed = {}
    for name in JOB_OPTIONS:
        value = getattr(task, name, None)
        if value != getattr(declared, name, None):
            changed[name] = _time(value) if name == "run_after" else _plain(value)
    return changed


def _time(value: Any) -> str:
    """Return the time from which a job may run; a timedelta counts from now, as for other nodes."""
    if isinstance(value, timedelta):
        value = datetime.now(UTC) + value
    return (timezone.make_aware(value) if timezone.is_naive(value) else value).isoformat()


def _plain(value: Any) -> Any:
    return seconds(value) if isinstance(value, timedelta) else value
