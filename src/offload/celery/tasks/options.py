"""The options of a task: from its class, from `task_annotations`, from the settings."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.celery.settings import Settings
    from offload.celery.tasks.base import BaseTask

MAX_PRIORITY = 9
"""Celery's highest priority; that of the job is ten times as large."""


def task_option(task: BaseTask, name: str) -> Any:
    """Return an option of a task; None if neither the task nor the settings have it."""
    conf = task.app.conf
    annotated = _annotation(conf.task_annotations, task.name, name)
    if annotated is not None:
        return annotated
    value = getattr(task, name, None)
    return conf.get(f"task_{name}") if value is None else value


def engine_priority(priority: float | None) -> int:
    """Return the priority of the job for one of Celery's, of which 9 runs first, as in RabbitMQ."""
    if priority is None:
        return 0
    return 10 * min(max(int(priority), 0), MAX_PRIORITY)


def route_of(task: BaseTask, args: Any, kwargs: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `task_routes` says about a call: queue and priority, by name.

    What the task says itself is left out, as it comes first.
    """
    routes = task.app.conf.task_routes
    if not routes:
        return {}
    for route in routes if isinstance(routes, list | tuple) else [routes]:
        found = _follow(route, task, args, kwargs, options)
        if found is not None:
            values = {"queue": found} if isinstance(found, str) else dict(found)
            return {name: value for name, value in values.items() if not _has_own(task, name)}
    return {}


def engine_queue(name: str | None, known: Iterable[str], conf: Settings) -> str:
    """Return the name in TASKS of a queue of Celery's.

    Args:
        name: the queue; None for the default one.
        known: the queues that TASKS lists.
        conf: the settings of the app.
    """
    name = name or conf.task_default_queue
    is_default = name == "celery" and not conf.is_set("task_default_queue")
    return "default" if is_default and "celery" not in known else str(name)


def _follow(route: Any, task: BaseTask, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(route, str):
        from django.utils.module_loading import import_string

        route = import_string(route)
    if callable(route):
        return route(task.name, args, kwargs, dict(options), task=task)
    pairs = list(route.items() if isinstance(route, Mapping) else route)
    exact = [target for pattern, target in pairs if pattern == task.name]
    matching = (target for pattern, target in pairs if _matches(pattern, task.name))
    return exact[-1] if exact else next(matching, None)


def _matches(pattern: Any, name: str) -> bool:
    """Return whether a name matches a pattern; text without a `*` is a name."""
    if isinstance(pattern, re.Pattern):
        return pattern.match(name) is not None
    return "*" in pattern and fnmatch.fnmatchcase(name, pattern)


def _has_own(task: BaseTask, name: str) -> bool:
    return getattr(task, name, None) is not None


def _annotation(annotations: Any, task_name: str, name: str) -> Any:
    if not isinstance(annotations, Mapping):
        return None
    for key in (task_name, "*"):
        value = (annotations.get(key) or {}).get(name)
        if value is not None:
            return value
    return None
