"""Schedules in the tests of projects: what they enqueue at a time, and whether a task has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils import timezone

from offload.backends.database import DatabaseBackend
from offload.durations import seconds
from offload.exceptions import AlreadyEnqueued
from offload.results import OffloadResult
from offload.schedules.in_code import declared_schedules
from offload.schedules.sync import sync
from offload.serialization import decode
from offload.store import get_store
from offload.store.schedule_records import ScheduleDefinition
from offload.task_lookup import find_task, with_options
from offload.testing.backends import RecordingBackend
from offload.testing.jobs import get_inspectable_backend
from offload.timestamps import now_microseconds, to_datetime, to_microseconds
from offload.uuid7 import id_of_tick

SECOND = 1_000_000
"""A tick is found within this time."""


def run_schedules(
    *, at: datetime | None = None, backend: str = DEFAULT_TASK_BACKEND_ALIAS
) -> list[OffloadResult[Any]]:
    """Enqueue what the schedules that tick at a time would enqueue; `run_jobs` then runs it.

        assert [job.task for job in run_schedules(at=datetime(2026, 3, 1, 3))] == [nightly]

    A schedule whose last job still waits skips the tick, as its `overlap` says.

    Args:
        at: the time; a naive one is in the current time zone. By default it is now, by the test's
            clock.
        backend: alias in TASKS.

    Returns:
        The results of the jobs, by the names of the schedules.
    """
    moment = now_microseconds() if at is None else to_microseconds(at)
    task_backend = get_inspectable_backend(backend)
    if isinstance(task_backend, DatabaseBackend):
        return list(_fire(task_backend, moment))
    return list(_record(task_backend, moment))


def assert_scheduled(
    task: Task[..., Any],
    cron: str | None = None,
    /,
    *,
    every: float | timedelta | None = None,
    at: datetime | None = None,
    name: str | None = None,
) -> None:
    """Check that the code or the settings have a schedule of a task.

    Args:
        task: the task.
        cron: its expression.
        every: its interval.
        at: a time at which it ticks; a naive one is in the current time zone.
        name: of the schedule.

    Raises:
        AssertionError: if there is none.
    """
    found = [one for one in declared_schedules() if one.task_path == task.module_path]
    interval = None if every is None else round(seconds(every) * SECOND)
    moment = None if at is None else to_microseconds(at)
    for schedule in found:
        is_meant = not schedule.error
        is_meant &= name in {None, schedule.name}
        is_meant &= cron in {None, schedule.cron}
        is_meant &= interval in {None, schedule.every}
        if is_meant and (moment is None or _tick(schedule, moment) is not None):
            return
    wanted = {"cron": cron, "every": every, "at": at, "name": name}
    conditions = ", ".join(f"{key}={value!s}" for key, value in wanted.items() if value is not None)
    known = "\n".join(f"  {_describe(schedule)}" for schedule in found) or "  none"
    raise AssertionError(
        f"{task.module_path} has no schedule with {conditions or 'any time'}. It has:\n{known}"
    )


def _fire(backend: DatabaseBackend, moment: int) -> Iterator[OffloadResult[Any]]:
    from offload.models import Schedule  # noqa: PLC0415  # needs the app registry

    store = get_store(backend.settings.database)
    with store.clock_of_this_process():
        sync(backend.alias, is_complete=False)
        rows = Schedule.objects.using(store.using).filter(backend=backend.alias)
        ticking = rows.filter(retired_at=None, paused_at=None, error="")
        for row in ticking.order_by("name"):
            tick = store.fire_at(row, moment, within=SECOND)
            if tick is not None:
                with suppress(TaskResultDoesNotExist):  # skipped
                    yield backend.get_result(str(id_of_tick(str(row.name), tick)))


def _record(backend: RecordingBackend, moment: int) -> Iterator[OffloadResult[Any]]:
    from offload.testing.recorded import find_recorded_jobs  # noqa: PLC0415  # app registry

    for schedule in sorted(declared_schedules()):
        if schedule.backend != backend.alias or schedule.error:
            continue
        tick = _tick(schedule, moment)
        if tick is not None:
            args, kwargs = decode(schedule.arguments)
            try:
                result = backend.enqueue(_task(schedule), args, kwargs)
            except AlreadyEnqueued:
                continue
            if not result.is_new:  # another job holds its key: the tick is skipped
                continue
            for job in find_recorded_jobs([UUID(result.id)]):
                job.row.schedule, job.row.scheduled_for = schedule.name, to_datetime(tick)
            yield result


def _task(schedule: ScheduleDefinition) -> Task[..., Any]:
    task = with_options(find_task(schedule.task_path), backend=schedule.backend)
    if schedule.priority is not None:
        task = with_options(task, priority=schedule.priority)
    return with_options(task, queue_name=schedule.queue_name or task.queue_name)


def _tick(schedule: ScheduleDefinition, moment: int) -> int | None:
    """Return the tick within the second before a time."""
    return next(schedule.timing.between(moment - SECOND + 1, moment), None)


def _describe(schedule: ScheduleDefinition) -> str:
    when = schedule.cron or f"every {timedelta(microseconds=schedule.every or 0)}"
    tick = None if schedule.error else schedule.timing.next_after(now_microseconds())
    text = schedule.error or "it has ended"
    if tick is not None:
        text = f"next {timezone.localtime(_aware(to_datetime(tick))):%Y-%m-%d %H:%M:%S %Z}"
    return f"{schedule.name}: {when} ({schedule.timezone}), {text}"


def _aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
