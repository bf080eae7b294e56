"""Makes the task of django-offload that workers find and run for a task of `offload.celery`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.tasks import task_backends

from offload.celery.tasks.options import engine_priority, engine_queue, route_of, task_option
from offload.celery.tasks.registry import tasks
from offload.exceptions import JobTimeout
from offload.policies import Rate
from offload.task_lookup import find_task, find_task_for_job
from offload.tasks import OffloadTask

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask

OWN_OPTIONS = (
    "atomic",
    "concurrency",
    "expose_result",
    "fair",
    "schedulable",
    "title",
    "unique",
    "visibility",
)
"""Options of `offload.task` that a task of Celery's may have too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CeleryTask(OffloadTask[..., Any]):
    """A task whose function runs a task of Celery's.

    Attributes:
        max_worker_losses: how often the process of a job may die before it fails; that of the
            backend if None.
        throws: exceptions that are logged at the level INFO, and not as errors.
    """

    max_worker_losses: int | None = None
    throws: tuple[type[BaseException], ...] = ()


def define(task: BaseTask, function: Callable[..., Any]) -> CeleryTask:
    """Return the task that workers run.

    Args:
        task: the task.
        function: runs it; its path is that of the task's own function.

    Raises:
        InvalidTask: for a function that workers would not find, and for unusable options.
    """
    own = {name: getattr(task, name) for name in OWN_OPTIONS if _has_own(task, name)}
    values: dict[str, Any] = {"backend": task.offload_backend, **own}
    route = route_of(task, (), {}, {})
    backend = _backend(values["backend"])
    queue = route.get("queue") or getattr(task, "queue", None)
    return CeleryTask(
        func=function,
        queue_name=engine_queue(_name_of(queue), backend.queues, task.app.conf),
        priority=engine_priority(priority_of(task, route)),
        # A Retry says each time whether another attempt is allowed.
        max_attempts=1,
        retry_on=(),
        no_retry_on=(JobTimeout,),
        timeout=task_option(task, "time_limit"),
        rate=rate_of(task_option(task, "rate_limit")),
        max_worker_losses=worker_losses(task),
        throws=tuple(task.throws),
        **values,
    )


def priority_of(task: BaseTask, route: Any) -> Any:
    """Return Celery's priority of a task; None without one."""
    if route.get("priority") is not None:
        return route["priority"]
    own = getattr(task, "priority", None)
    return task.app.conf.task_default_priority if own is None else own


def rate_of(limit: Any) -> Rate | None:
    """Return the `Rate` for a rate of Celery's, such as "10/m" or 0.5 a second; None for None.

    Raises:
        ValueError: for a rate that cannot be read.
    """
    if not limit:
        return None
    if isinstance(limit, str):
        count, slash, unit = limit.partition("/")
        number, per = float(count), {"": 1, "s": 1, "m": 60, "h": 3600}.get(unit.strip(), 0)
        if (slash and not unit) or not per:
            raise ValueError(f'rate_limit must be text such as "10/m", not {limit!r}.')
    else:
        number, per = float(limit), 1
    if not number:
        return None
    return Rate(round(number), per) if number >= 1 else Rate(1, per / number)


def worker_losses(task: BaseTask) -> int | None:
    """Return how often the process of a job may die.

    It is 0 only for a task with `acks_late=False`: with Celery's default, the task would be lost.
    """
    return 0 if task_option(task, "acks_late") is False else None


def _has_own(task: BaseTask, name: str) -> bool:
    return getattr(task, name, None) is not None


def _name_of(queue: Any) -> str | None:
    """Return the name of a queue, which may be one of Kombu's objects."""
    name: str | None = getattr(queue, "name", queue)
    return name


def _backend(alias: str) -> Any:
    return task_backends[alias]


@receiver(setting_changed)
def _forget_definitions(*, setting: str, **_: Any) -> None:
    """Forget the definitions that depend on a setting that a test has changed."""
    if setting == "TASKS" or setting.startswith("CELERY"):
        for task in tasks.values():
            vars(task).pop("_definition", None)
        find_task.cache_clear()
        find_task_for_job.cache_clear()
