"""The `schedule` decorator, and the schedules that it has declared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

from django.tasks import Task

from offload.schedules.definitions import ScheduleOptions


class Declared(NamedTuple):
    """A schedule as the decorator got it; nobody has checked yet whether it can tick."""

    name: str
    task: Task[..., Any]
    cron: str | None
    options: ScheduleOptions


_declared: defaultdict[str, list[Declared]] = defaultdict(list)
"""By the path of the task."""


def schedule[T: Task[..., Any]](
    cron: str | None = None, /, *, name: str = "", **options: Unpack[ScheduleOptions]
) -> Callable[[T], T]:
    """Enqueue a task by the clock: put it above the decorator that makes the task.

        @schedule("0 3 * * *", timezone="Europe/Berlin")
        @task
        def clean_up(): ...

    `manage.py check` reports a schedule that cannot tick; all others tick.

    Args:
        cron: an expression with five fields, or six with the seconds first, or "@daily" and its
            like.
        name: of the schedule; the path of the task by default.
        **options: see `ScheduleOptions`.

    Raises:
        TypeError: above a function that is no task, or without parentheses.
    """
    given: Any = cron
    if isinstance(given, Task) or callable(given):
        raise TypeError(
            f"@schedule got {given!r} in place of an expression. It needs parentheses: "
            '@schedule("0 3 * * *").'
        )

    def declare(task: T) -> T:
        add_schedule = getattr(task, "add_schedule", None)  # a task of Celery's, made when needed
        if add_schedule is not None:
            add_schedule(name, cron, options)
            return task
        if not isinstance(task, Task):
            raise TypeError(
                f"@schedule belongs above @task: it got {task!r}, which is no task yet."
            )
        known = _declared[task.module_path]
        if known and known[0].task.func is not task.func:  # the module was loaded again
            known.clear()
        known.append(Declared(name or task.module_path, task, cron, options))
        return task

    return declare


def declared_by_decorators() -> list[Declared]:
    """Return the schedules of the tasks that this process has loaded."""
    return [declared for known in list(_declared.values()) for declared in known]
