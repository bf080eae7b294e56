"""The tasks of `xmap` and `xstarmap`. Jobs store their paths: do not move them."""

from __future__ import annotations

from typing import Any

from offload.celery.signatures import signature
from offload.celery.task import shared_task


def map_items(task: Any, it: Any) -> list[Any]:
    """Call a task for each item; return the list of results."""
    function = signature(task).type
    return [function(item) for item in it]


def map_arguments(task: Any, it: Any) -> list[Any]:
    """Call a task for each list of arguments; return the list of results."""
    function = signature(task).type
    return [function(*item) for item in it]


TASKS = {
    "celery.map": shared_task(map_items, name="celery.map", title="Map"),
    "celery.starmap": shared_task(map_arguments, name="celery.starmap", title="Map"),
}
