"""Schedules that are made and changed at run time."""

from __future__ import annotations

import inspect
from typing import Any, Unpack

from django.db import IntegrityError, transaction
from django.tasks import Task

from offload.backends.base import get_backend
from offload.exceptions import InvalidSchedule
from offload.models import Schedule
from offload.schedules.definitions import Schedulable, ScheduleOptions, define
from offload.schedules.stored import StoredSchedule, get
from offload.store import get_store
from offload.store.schedule_records import ADMIN


def create(
    name: str,
    task: Task[..., Any],
    cron: str | None = None,
    /,
    **options: Unpack[ScheduleOptions],
) -> StoredSchedule:
    """Make a schedule of a task that is schedulable, in the caller's transaction.

        schedules.create("weekly", digest, "0 8 * * 1", kwargs={"kind": "weekly"})

    Args:
        name: of the schedule.
        task: the task.
        cron: an expression; None with every=.
        **options: see `ScheduleOptions`.

    Raises:
        InvalidSchedule: if it could not tick, or there is one with this name.
    """
    require_schedulable(task)
    validate_arguments(task, options)
    definition = define(Schedulable(task, name, ADMIN), cron, options)
    using = get_backend(task.backend).settings.database
    try:
        with transaction.atomic(using):
            get_store(using).add_schedule(definition)
    except IntegrityError as error:
        raise _known_name(name) from error
    return get(name, using=using)


def change(
    name: str,
    task: Task[..., Any],
    cron: str | None = None,
    /,
    **options: Unpack[ScheduleOptions],
) -> StoredSchedule:
    """Replace a schedule that was made at run time, in the caller's transaction.

    Other arguments do not move its next tick. With other times, it ticks at these from now on.

    Args:
        name: of the schedule.
        task: the task.
        cron: an expression; None with every=.
        **options: see `ScheduleOptions`; those left out have their defaults.

    Raises:
        InvalidSchedule: if it could not tick, or the code or the settings define it.
        LookupError: if there is none.
    """
    require_schedulable(task)
    using = get_backend(task.backend).settings.database
    known = get(name, using=using)
    if known.row.source != ADMIN:
        raise InvalidSchedule(
            f"The schedule {name!r} is defined in the {known.row.source}. Change it there, or "
            "pause it and make another one."
        )
    validate_arguments(task, options)
    definition = define(Schedulable(task, name, ADMIN), cron, options)
    get_store(using).change_schedule(name, definition)
    return get(name, using=using)


def require_schedulable(task: Task[..., Any]) -> None:
    """Raise InvalidSchedule for a task without `schedulable`."""
    if not isinstance(task, Task):
        raise InvalidSchedule(f"Pass a task, such as shop.tasks.nightly, not {task!r}.")
    if not getattr(task, "schedulable", False):
        raise InvalidSchedule(
            f"{task.module_path} cannot be scheduled at run time. Allow it in the code: "
            "@task(schedulable=True)."
        )


def require_new_name(task: Task[..., Any], name: str) -> None:
    """Raise InvalidSchedule if the database of a task's backend has a schedule with this name."""
    using = get_backend(task.backend).settings.database
    if Schedule.objects.using(using).filter(pk=name).exists():
        raise _known_name(name)


def validate_arguments(task: Task[..., Any], options: ScheduleOptions) -> None:
    """Validate the arguments by the form of the task, if it has one.

    Raises:
        InvalidSchedule: if the form refuses them.
    """
    form_class = getattr(task, "schedulable", False)
    if isinstance(form_class, bool):
        return
    form = form_class(data=_by_name(task, options))
    if not form.is_valid():
        errors = [f"{name}: {' '.join(texts)}" for name, texts in form.errors.items()]
        raise InvalidSchedule(" ".join(errors), option="kwargs")


def _known_name(name: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"There is a schedule {name!r} already. Choose another name, or change that one.",
        option="name",
    )


def _by_name(task: Task[..., Any], options: ScheduleOptions) -> dict[str, Any]:
    """Return the arguments by name; what does not match the task is refused later."""
    args, kwargs = tuple(options.get("args") or ()), dict(options.get("kwargs") or {})
    names = list(inspect.signature(task.func).parameters)[int(task.takes_context) :]
    return {**dict(zip(names, args, strict=False)), **kwargs}
