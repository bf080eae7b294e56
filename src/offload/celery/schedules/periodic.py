"""Periodic tasks: entries of `beat_schedule`, those that an app adds, and `@schedule`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from offload.backends.signatures import require_matching_call
from offload.celery.calls.preparing import with_call_options
from offload.celery.encoding.arguments import encode_call
from offload.celery.schedules.crontabs import timing_of
from offload.celery.tasks.current import existing_app, get_current_app
from offload.celery.tasks.registry import tasks
from offload.exceptions import InvalidSchedule
from offload.schedules.definitions import Schedulable, broken, define
from offload.store.schedule_records import CODE, ScheduleDefinition
from offload.task_lookup import find_task_or_stub

logger = logging.getLogger("offload.celery")


class Periodic(NamedTuple):
    """A schedule of a task.

    Attributes:
        name: of the schedule.
        task: of Celery's.
        args, kwargs: its arguments.
        call_options: those of `apply_async`.
        cron: the expression; None with an interval.
        options: those of the schedule.
    """

    name: str
    task: Any
    args: Iterable[Any]
    kwargs: Mapping[str, Any]
    call_options: Mapping[str, Any]
    cron: str | None
    options: Mapping[str, Any]


def periodic_tasks() -> Iterator[tuple[ScheduleDefinition, str]]:
    """Yield the schedules of the current app, and where each is defined."""
    if not (existing_app() or tasks.of_project()):
        return  # CELERY_BEAT_SCHEDULE is that of Celery itself
    try:
        tasks.discover()
    except Exception:
        logger.exception("A module with tasks could not be imported.")
    app = get_current_app()
    app.announce_configured()
    for name, entry in (app.conf.beat_schedule or {}).items():
        yield _of_entry(app, name, entry), f"CELERY_BEAT_SCHEDULE[{name!r}]"
    for name, entry in app.periodic_tasks.items():
        yield _of_entry(app, name, entry), f"add_periodic_task() of {app!r}"
    for task in list(tasks.values()):
        for name, cron, options in task.declared_schedules:
            of = {key: value for key, value in options.items() if key not in {"args", "kwargs"}}
            args, kwargs = options.get("args") or (), options.get("kwargs") or {}
            periodic = Periodic(name, task, args, kwargs, {}, cron, of)
            yield _definition(periodic), f"@schedule of {task.name}"


def _of_entry(app: Any, name: str, entry: Mapping[str, Any]) -> ScheduleDefinition:
    """Return the columns of an entry of `beat_schedule`."""
    cron: str | None = None
    options: dict[str, Any] = {"timezone": app.conf.timezone or "UTC", "overlap": "allow"}
    try:
        cron, every = timing_of(entry.get("schedule"))
        if every is not None:
            options["every"] = every
        task = tasks[str(entry.get("task"))]
    except Exception as error:  # noqa: BLE001  # modules of tasks raise anything
        path = str(entry.get("task"))
        stub = find_task_or_stub(path, backend="default", queue_name="default", priority=0)
        shown = cron or repr(entry.get("schedule"))
        return broken(Schedulable(stub, name, CODE), shown, options, str(error))
    args, kwargs = entry.get("args") or (), entry.get("kwargs") or {}
    return _definition(
        Periodic(name, task, args, kwargs, entry.get("options") or {}, cron, options)
    )


def _definition(periodic: Periodic) -> ScheduleDefinition:
    task = periodic.task
    target = Schedulable(task.definition, periodic.name, CODE)
    try:
        _require_alone(periodic.call_options)
        if task.typing:
            require_matching_call(task.checked_call, tuple(periodic.args), periodic.kwargs)
        engine_task, extra = with_call_options(
            task, periodic.args, periodic.kwargs, periodic.call_options
        )
        args, kwargs = encode_call(periodic.args, periodic.kwargs, extra)
        options: Any = {**periodic.options, "args": args, "kwargs": kwargs}
        return define(target._replace(task=engine_task), periodic.cron, options)
    except Exception as error:  # noqa: BLE001  # the project's own classes raise anything
        return broken(target, periodic.cron, periodic.options, str(error))


def _require_alone(options: Mapping[str, Any]) -> None:
    if {"link", "link_error"} & {*options}:
        raise InvalidSchedule("A schedule cannot have link or link_error. Call them in a task.")
