"""Partial: a task with some of its arguments, for a step of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.tasks import Task


@dataclass(frozen=True, slots=True)
class Partial:
    """A task with some of its arguments, as `task.partial()` returns it.

    Attributes:
        task: the task.
        args: positional arguments, which follow the result of the step before.
        kwargs: arguments by name.
    """

    task: Task[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
