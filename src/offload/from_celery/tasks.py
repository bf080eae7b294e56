"""The tasks of a project, and what becomes of their options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.tasks.exceptions import InvalidTask

from offload.celery.tasks.registry import tasks
from offload.from_celery.report import Item

MEANINGLESS = {
    "acks_on_failure_or_timeout": "a job that failed is kept, and can be retried",
    "compression": "a job is no message",
    "delivery_mode": "a job is no message",
    "exchange": "name the queue by queue=",
    "reject_on_worker_lost": "a job whose process died always runs again",
    "routing_key": "name the queue by queue=",
    "send_events": "pages show jobs without it",
    "store_errors_even_if_ignored": "errors are kept with the job",
    "track_started": "CELERY_TASK_TRACK_STARTED is for all tasks",
}
"""Options that mean nothing here, and why that does no harm or what takes their place."""
KEPT = (
    "acks_late",
    "autoretry_for",
    "default_retry_delay",
    "dont_autoretry_for",
    "expires",
    "ignore_result",
    "max_retries",
    "priority",
    "queue",
    "rate_limit",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "retry_kwargs",
    "soft_time_limit",
    "throws",
    "time_limit",
)
"""Options that `shared_task` of offload.celery has, too."""


def task_items(of_celery: Mapping[str, Any], *, is_redis: bool, queues: set[str]) -> list[Item]:
    """Return what becomes of each task.

    Args:
        of_celery: the tasks that are still Celery's, by name.
        is_redis: whether the broker is Redis, whose priorities are the other way round.
        queues: those that TASKS lists; empty if it allows any.
    """
    moved = {name: task for name, task in sorted(tasks.items()) if not name.startswith("celery.")}
    waiting = {name: task for name, task in of_celery.items() if name not in moved}
    return [
        *(_moved(name, task, is_redis=is_redis) for name, task in moved.items()),
        *(_waiting(name, task, is_redis=is_redis, queues=queues) for name, task in waiting.items()),
    ]


def _moved(name: str, task: Any, *, is_redis: bool) -> Item:
    options = _options_of(task, "offload.")
    by_hand = _priority(options, is_redis=is_redis)
    try:
        _ = task.definition
    except (InvalidTask, ValueError, TypeError) as error:
        by_hand = [f"It cannot run: {error}"]
    return Item(name, "a task of offload.celery already", _lost(options), " ".join(by_hand))


def _waiting(name: str, task: Any, *, is_redis: bool, queues: set[str]) -> Item:
    options = _options_of(task, "celery.")
    by_hand = ["Change its import to offload.celery.", *_priority(options, is_redis=is_redis)]
    queue = options.get("queue")
    if queue and queues and str(queue) not in queues:
        by_hand.append(f"List its queue {str(queue)!r} in QUEUES of TASKS.")
    serializer = options.get("serializer")
    if serializer not in {None, "json"}:
        by_hand.append(f"Pass only what JSON carries, in place of serializer={serializer!r}.")
    if "<" in str(getattr(getattr(task, "run", None), "__qualname__", "")):
        by_hand.append("Define it at the top level of its module, where workers find it.")
    kept = ", ".join(option for option in KEPT if option in options)
    becomes = f"the same, with {kept}" if kept else "the same"
    return Item(name, becomes, _lost(options), " ".join(by_hand))


def _options_of(task: Any, library: str) -> dict[str, Any]:
    """Return the options that the project gives a task, in its decorator or its classes.

    Args:
        task: the task.
        library: how the modules begin whose classes have the defaults.
    """
    names = {*KEPT, *MEANINGLESS, "serializer"}
    found: dict[str, Any] = {}
    for kind in reversed(type(task).__mro__):
        if not kind.__module__.startswith((library, "builtins")):
            values = vars(kind)
            found.update((name, values[name]) for name in sorted(names & values.keys()))
    return {name: value for name, value in found.items() if not _is_default(task, name, value)}


def _is_default(task: Any, name: str, value: Any) -> bool:
    """Return whether an option says no more than the settings; Celery copies them to its tasks."""
    settings = dict(getattr(task, "from_config", ()))
    return value is None or (name in settings and value == task.app.conf.get(settings[name]))


def _lost(options: Iterable[str]) -> str:
    return "; ".join(f"{name}: {MEANINGLESS[name]}" for name in options if name in MEANINGLESS)


def _priority(options: Mapping[str, Any], *, is_redis: bool) -> list[str]:
    priority = options.get("priority")
    if priority is None or not is_redis:
        return []
    return [f"Write priority={9 - min(int(priority), 9)}: with Redis 0 runs first, here 9."]
