"""The rows of django-celery-beat, which become schedules that are made at run time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from offload import schedules
from offload.backends.base import get_backend
from offload.celery.schedules.crontabs import crontab, timing_of
from offload.celery.tasks.current import get_current_app
from offload.exceptions import InvalidSchedule
from offload.from_celery.called import Called, CannotCall, prepare_call
from offload.from_celery.report import Item
from offload.from_celery.tables import (
    Clocked,
    Crontab,
    Interval,
    PeriodicTask,
    has_table,
    numbered,
    rows_of,
)
from offload.from_celery.words import interval_words
from offload.policies.ticks import Timing
from offload.schedules.changes import require_schedulable, validate_arguments
from offload.schedules.definitions import MAX_NAME_LENGTH, Schedulable, define
from offload.store.schedule_records import ADMIN
from offload.timestamps import now_microseconds, to_datetime

CLEAN_UP = "celery.backend_cleanup"
"""The task that deletes old results of Celery's."""
DISABLED = "It was disabled in django_celery_beat."
"""Why a schedule is paused."""


class NotPossible(ValueError):
    """Raised for a row that no schedule can take the place of; its text says what to do."""


@dataclass(slots=True)
class Planned:
    """The schedule that a row becomes.

    Attributes:
        name: of the schedule.
        task: of django-offload.
        cron: an expression; None with an interval.
        options: those of `schedules.create`.
        is_paused: whether it must not tick yet.
        lost: what the row has that the schedule has not.
    """

    name: str
    task: Any
    cron: str | None
    options: dict[str, Any]
    is_paused: bool = False
    lost: list[str] = field(default_factory=list)

    def validate(self) -> None:
        """Raise InvalidSchedule if it could not be made."""
        require_schedulable(self.task)
        options: Any = self.options
        validate_arguments(self.task, options)
        define(Schedulable(self.task, self.name, ADMIN), self.cron, options)

    def make(self) -> None:
        """Make the schedule."""
        with transaction.atomic(get_backend(self.task.backend).settings.database):
            made = schedules.create(self.name, self.task, self.cron, **self.options)
            if self.is_paused:
                made.pause(reason=DISABLED)

    @property
    def when(self) -> str:
        """When it ticks, in a few words."""
        text = self.cron or interval_words(self.options["every"])
        return f"{text} ({self.options['timezone']}){', paused' if self.is_paused else ''}"


class BeatRows:
    """The periodic tasks of a database, and what becomes of each.

    Args:
        using: alias in DATABASES.
        jobs_in: the same of the database with the jobs and their schedules.
        is_redis: whether the broker is Redis, whose priorities are the other way round.
        in_code: the names of the schedules that the code and the settings define.

    Attributes:
        queues: the queues that the rows name, as far as they were read.
    """

    def __init__(
        self, using: str, jobs_in: str, *, is_redis: bool, in_code: Collection[str]
    ) -> None:
        self.queues: set[str] = set()
        self._using = using
        self._jobs_in = jobs_in
        self._is_redis = is_redis
        self._in_code = in_code
        self._intervals = numbered(Interval, using)
        self._crontabs = numbered(Crontab, using)
        self._clocked = numbered(Clocked, using)
        self._names: set[str] = set()

    def items(self, *, write: bool) -> Iterator[Item]:
        """Yield what becomes of each row.

        Args:
            write: make the schedules, too.
        """
        if not has_table(PeriodicTask, self._using):
            return
        for row in rows_of(PeriodicTask, self._using):
            self.queues.update([row.queue] if row.queue else [])
            yield self._item(row, write=write)

    def _item(self, row: Any, *, write: bool) -> Item:
        if row.task == CLEAN_UP:
            return Item(row.name, "nothing: workers prune old jobs")
        if row.name in self._in_code:
            return Item(row.name, "the schedule of the code with this name")
        if row.one_off and _has_run(row):
            return Item(row.name, "nothing: it has run, once")
        name = self._new_name(row)
        with suppress(LookupError):
            known = schedules.get(name, using=self._jobs_in)
            return Item(row.name, f"the schedule {name!r}, which exists: {known.state}")
        try:
            planned = self._planned(row, name)
            planned.validate()
            if write:
                planned.make()
        except (NotPossible, CannotCall, InvalidSchedule) as error:
            return Item(row.name, by_hand=str(error), is_left=True)
        made = "made" if write else "a schedule"
        return Item(row.name, f"{made}: {planned.name!r}, {planned.when}", "; ".join(planned.lost))

    def _new_name(self, row: Any) -> str:
        """Return a name that a schedule can have, the same each time."""
        text = "".join(letter if letter.isprintable() else " " for letter in row.name)
        name = text.replace(":", " ")[:MAX_NAME_LENGTH].strip() or f"periodic task {row.pk}"
        if name in self._names:
            number = f" ({row.pk})"
            name = name[: MAX_NAME_LENGTH - len(number)] + number
        self._names.add(name)
        return name

    def _planned(self, row: Any, name: str) -> Planned:
        cron, options = self._timing(row)
        lost: list[str] = []
        if row.expire_seconds:
            options["deadline"] = row.expire_seconds
            lost.append("a job that waits in its queue for long still runs: see expires= of tasks")
        if row.exchange or row.routing_key:
            lost.append("exchange and routing key")
        if row.description:
            lost.append("the description")
        called = prepare_call(
            Called(
                row.task,
                args=_json(row, "args", list),
                kwargs=_json(row, "kwargs", dict),
                headers=_json(row, "headers", dict),
                queue=row.queue or "",
                priority=row.priority,
            ),
            is_redis=self._is_redis,
        )
        options |= {"args": called.args, "kwargs": called.kwargs, "overlap": "allow"}
        if row.queue:
            options["queue_name"] = called.task.queue_name
        if row.priority is not None:
            options["priority"] = called.task.priority
        return Planned(name, called.task, cron, options, not row.enabled, lost)

    def _timing(self, row: Any) -> tuple[str | None, dict[str, Any]]:
        """Return the expression, and the options about times."""
        if row.clocked_id is not None:
            return self._once_at(row)
        zone = str(get_current_app().conf.timezone or "UTC")
        cron: str | None = None
        options: dict[str, Any] = {"start": row.start_time, "end": row.expires}
        if row.crontab_id is not None:
            cron, zone = self._cron(row, zone)
        elif row.interval_id is not None:
            interval = self._intervals[row.interval_id]
            options["every"] = timedelta(**{interval.period: interval.every})
        elif row.solar_id is not None:
            raise NotPossible(
                "There are no solar schedules here: schedule a daily task that "
                "enqueues this one with eta= of sunrise or sunset, and delete the row."
            )
        else:
            raise NotPossible("It has no times. Delete the row, or give it some.")
        options["timezone"] = zone
        if row.one_off:
            options["end"] = _first_tick(cron, options)
        return cron, {name: value for name, value in options.items() if value is not None}

    def _cron(self, row: Any, zone: str) -> tuple[str, str]:
        found = self._crontabs[row.crontab_id]
        try:
            cron, _ = timing_of(
                crontab(
                    found.minute,
                    found.hour,
                    found.day_of_week,
                    found.day_of_month,
                    found.month_of_year,
                )
            )
        except ValueError as error:
            raise NotPossible(str(error)) from None
        is_aware = getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True)
        return str(cron), str(found.timezone or zone) if is_aware else zone

    def _once_at(self, row: Any) -> tuple[str, dict[str, Any]]:
        """Return a schedule with one tick."""
        at: datetime = self._clocked[row.clocked_id].clocked_time
        if at.microsecond:
            at = at.replace(microsecond=0) + timedelta(seconds=1)
        if at <= timezone.now():
            raise NotPossible(
                f"Its time, {at:%Y-%m-%d %H:%M:%S %Z}, has passed. Enqueue its task if it is still "
                "needed, and delete the row."
            )
        at = at.astimezone(timezone.get_fixed_timezone(0))
        cron = f"{at.second} {at.minute} {at.hour} {at.day} {at.month} *"
        return cron, {"start": at, "end": at, "timezone": "UTC"}


def _first_tick(cron: str | None, options: dict[str, Any]) -> datetime:
    """Return the only tick of a row that is to run once."""
    every: timedelta | None = options.get("every")
    microseconds = None if every is None else every // timedelta(microseconds=1)
    start = options["start"] or timezone.now()
    timing = Timing(cron or "", microseconds, str(options["timezone"]))
    after = max(now_microseconds(), int(start.timestamp() * 1_000_000))
    first = timing.next_after(after)
    if first is None:
        raise NotPossible("It has no tick in the future. Delete the row.")
    return to_datetime(first)


def _json(row: Any, name: str, kind: type) -> Any:
    """Return a column with JSON; an empty value if it is empty."""
    text = getattr(row, name)
    if not text:
        return kind()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotPossible(
            f"Its {name} are not JSON: {text!r} ({error}). Correct the row."
        ) from None
    if not isinstance(value, kind):
        raise NotPossible(f"Its {name} must be a {kind.__name__}, not {text!r}. Correct the row.")
    return value


def _has_run(row: Any) -> bool:
    """Return whether a task that runs once has run: beat then disables it, and counts from 0."""
    return bool(row.total_run_count or (not row.enabled and row.last_run_at))
