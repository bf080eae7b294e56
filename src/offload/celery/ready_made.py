"""What the tasks of this package do. Rows have the paths of these functions: they stay here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from offload.celery.tasks.registry import tasks

ACCUMULATE = "celery.accumulate"
"""The name of the task that returns what the tasks of a group have returned."""
KEEP_GROUP = "celery.keep_group"
"""The name of the task whose job keeps which tasks belong to a group."""


def map_items(task: Mapping[str, Any], it: Iterable[Any]) -> list[Any]:
    """Call a task for each item; return the list of results.

    Args:
        task: its signature.
        it: the items.
    """
    function = tasks[task["task"]]
    return [function(item) for item in it]


def map_arguments(task: Mapping[str, Any], it: Iterable[Iterable[Any]]) -> list[Any]:
    """Call a task for each list of arguments; return the list of results.

    Args:
        task: its signature.
        it: the lists.
    """
    function = tasks[task["task"]]
    return [function(*arguments) for arguments in it]


def accumulate(results: list[Any]) -> list[Any]:
    """Return the results of a group, as the result of one task.

    Args:
        results: of the tasks of the group.
    """
    return results


def keep_group(ids: list[str]) -> None:
    """Do nothing: the job exists for its arguments.

    Args:
        ids: of the group's tasks.
    """
