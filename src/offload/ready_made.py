"""The tasks of this package, which projects do not define."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from offload.tasks import OffloadTask, remember_schedulable


def ready_made_task(**options: Any) -> Callable[[Callable[..., Any]], OffloadTask[..., Any]]:
    """Make a function of this package a task, which is first validated when it is enqueued.

    The settings of a project may lack the queue and the backend that are the task's defaults.
    """

    def decorate(func: Callable[..., Any]) -> OffloadTask[..., Any]:
        values = {field.name: field.default for field in fields(OffloadTask)}
        values |= {**options, "func": func}
        ready_made: OffloadTask[..., Any] = object.__new__(OffloadTask)
        for name, value in values.items():
            object.__setattr__(ready_made, name, value)
        if ready_made.schedulable:
            remember_schedulable(ready_made)
        return ready_made

    return decorate
