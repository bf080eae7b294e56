"""Schedules for tests: at any time, without a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from offload import schedules
from offload.models import Schedule
from offload.schedules.stored import StoredSchedule
from offload.store import get_store
from offload.timestamps import to_microseconds
from tests.schedules import tasks

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def make(name: str = "nightly", task: Any = tasks.note, **options: Any) -> StoredSchedule:
    """Make a schedule, by default one that ticks each hour."""
    options.setdefault("every", HOUR)
    return schedules.create(name, task, options.pop("cron", None), **options)


def make_due(name: str = "nightly", *, ago: timedelta = timedelta(), **options: Any) -> datetime:
    """Make a schedule that last ticked before a time; return the first tick that is due.

    Args:
        name: of the schedule.
        ago: by how much the first tick is late.
        **options: see `make`.
    """
    tick = (datetime.now(UTC) - ago).replace(microsecond=0)
    options.setdefault("start", tick)
    make(name, **options)
    due = to_microseconds(tick)
    Schedule.objects.filter(pk=name).update(next_tick_at=due, next_run_at=due, error="")
    return tick


def fire() -> int:
    """Fire the schedules that are due, as a worker does; return how many jobs were added."""
    return get_store("default").fire_schedules().jobs
