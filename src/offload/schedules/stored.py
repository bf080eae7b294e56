"""The schedules in a database, and what can be done with each of them."""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.utils import translation

from offload.backends.base import get_backend
from offload.conf import did_you_mean
from offload.exceptions import InvalidSchedule
from offload.models import Schedule
from offload.operators import require_note
from offload.policies.ticks import Timing
from offload.results import OffloadResult
from offload.schedules.words import cron_in_words, interval_in_words
from offload.store import get_store
from offload.store.schedule_records import ADMIN, JobTemplate
from offload.store.schedule_ticks import definition_of
from offload.task_lookup import find_task
from offload.timestamps import end_of_pause, now_microseconds, to_datetime, to_microseconds
from offload.uuid7 import id_of_tick

NOT_YET = (
    "Those of the code exist once a worker has started, or after: python manage.py "
    "offload_schedules sync"
)
"""Why a schedule may be missing."""
MAX_BACKFILL = 1000
"""Ticks for which one backfill enqueues jobs, at most."""


class StoredSchedule:
    """A schedule in a database.

    Args:
        row: as it was read; `refresh` reads it again.
        using: alias in DATABASES.

    Attributes:
        row: the columns, which only the methods change.
    """

    def __init__(self, row: Schedule, using: str) -> None:
        self.row = row
        self._using = using

    def __repr__(self) -> str:
        return f"<StoredSchedule {self.name!r}: {self.when}, {self.state}>"

    @property
    def name(self) -> str:
        return str(self.row.name)

    @property
    def when(self) -> str:
        """The expression, or the interval in English, as in "every 5 minutes"."""
        with translation.override("en"):
            return str(self.row.cron) or self.in_words.replace("Every", "every")

    @property
    def in_words(self) -> str:
        """What the expression or the interval means, in the active language."""
        if self.row.every:
            return interval_in_words(self.row.every)
        try:
            return cron_in_words(str(self.row.cron), str(self.row.timezone))
        except ValueError as error:
            return str(error)

    @property
    def state(self) -> str:
        """One of "active", "paused", "retired", "broken" and "ended"."""
        if self.row.retired_at is not None:
            return "retired"
        if self.row.error:
            return "broken"
        if self.row.paused_at is not None:
            return "paused"
        return "ended" if self.row.next_run_at is None else "active"

    @property
    def problem(self) -> str:
        """Why the schedule cannot tick, or its jobs cannot run; empty if they can."""
        if self.row.error:
            return str(self.row.error)
        try:
            find_task(str(self.row.task_path))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # modules raise anything
            return f"{type(error).__name__}: {error}"
        return ""

    @property
    def full_queue(self) -> str:
        """The full queue in which a tick waits for room; empty if no tick waits."""
        if self.row.held_since is None or self.state != "active":
            return ""
        return JobTemplate.from_json(str(self.row.job)).queue_name

    @property
    def next_run_at(self) -> datetime | None:
        """When the next job is enqueued; None while the schedule does not tick."""
        return self.row.next_run_at if self.state == "active" else None

    # --- changes --------------------------------------------------------------------------

    def pause(
        self, *, reason: str = "", until: datetime | timedelta | None = None, changed_by: str = ""
    ) -> None:
        """Stop ticking until somebody resumes it, or until a time; the ticks in between are lost.

        Args:
            reason: why; shown beside the schedule.
            until: a datetime, or a timedelta from now.
            changed_by: the operator.

        Raises:
            InvalidSchedule: for a retired schedule, or an argument that a pause cannot have.
        """
        self._require_in_code()
        try:
            require_note(reason, changed_by)
            moment = None if until is None else end_of_pause(until, now_microseconds())
        except (TypeError, ValueError) as error:
            raise InvalidSchedule(str(error)) from None
        self._changed(
            get_store(self._using).pause_schedule(
                self.name, until=moment, reason=reason.strip(), changed_by=changed_by
            )
        )

    def resume(self) -> None:
        """Tick again from now on. Does nothing if it ticks already.

        Raises:
            InvalidSchedule: for a retired schedule.
        """
        self._require_in_code()
        self._changed(get_store(self._using).resume_schedule(self.name))

    def run_now(self) -> OffloadResult[Any]:
        """Enqueue an extra job, in the caller's transaction; the next tick stays."""
        return self._run([None])[0]

    def backfill(self, start: datetime, end: datetime) -> builtins.list[OffloadResult[Any]]:
        """Enqueue a job for each tick from `start` to `end`, also for those that had one.

        Raises:
            InvalidSchedule: for more than 1,000 ticks, or a start that is after the end.
        """
        for name, moment in (("start", start), ("end", end)):
            if not isinstance(moment, datetime):
                raise InvalidSchedule(f"{name} must be a datetime, not {moment!r}.")
        first, last = to_microseconds(start), to_microseconds(end)
        if first > last:
            raise InvalidSchedule(f"The start of the backfill, {start}, is after its end, {end}.")
        found = [*islice(self._timing.between(first, last), MAX_BACKFILL + 1)]
        if len(found) > MAX_BACKFILL:
            raise InvalidSchedule(
                f"The schedule {self.name!r} ticks more than {MAX_BACKFILL} times from {start} to "
                f"{end}. Backfill a part of it first."
            )
        return self._run(found)

    def delete(self) -> None:
        """Delete the schedule, unless the code or the settings define it.

        Raises:
            InvalidSchedule: if they do: the next worker that starts would write it again.
        """
        if self.row.source != ADMIN and self.row.retired_at is None:
            raise InvalidSchedule(
                f"The schedule {self.name!r} is defined in the {self.row.source}. Remove it there, "
                "or pause it."
            )
        get_store(self._using).delete_schedule(self.name)

    def refresh(self) -> None:
        """Read the row again.

        Raises:
            LookupError: if it was deleted.
        """
        self.row = get(self.name, using=self._using).row

    # --- ticks ----------------------------------------------------------------------------

    def next_runs(self, count: int = 5) -> builtins.list[datetime]:
        """Return the next ticks; an empty list if the schedule does not tick."""
        until = self.row.paused_until
        if self.state not in {"active", "paused"} or (self.state == "paused" and until is None):
            return []
        after = now_microseconds()
        if until is not None:
            after = max(after, to_microseconds(until))
        elif self.row.next_tick_at is not None:
            after = to_microseconds(self.row.next_tick_at) - 1
        return [to_datetime(tick) for tick in islice(self._timing.ticks_after(after), count)]

    def runs(self, count: int = 20) -> builtins.list[OffloadResult[Any]]:
        """Return the results of the last ticks whose jobs exist, the newest first.

        The jobs of `run_now` and `backfill` are not among them: these return their results.
        """
        last = self.row.last_tick_at
        if last is None:
            return []
        found = self._timing.latest(count, first=0, last=to_microseconds(last))
        backend = get_backend(str(self.row.backend))
        jobs = backend.find([id_of_tick(self.name, tick) for tick in found])
        jobs.sort(key=lambda job: job.pk, reverse=True)
        return [backend.result_of(job) for job in jobs]

    @property
    def _timing(self) -> Timing:
        return definition_of(self.row).timing

    def _require_in_code(self) -> None:
        if self.row.retired_at is not None:
            raise InvalidSchedule(f"The schedule {self.name!r} is retired, and ticks no more.")

    def _run(self, ticks: builtins.list[Any]) -> builtins.list[OffloadResult[Any]]:
        if not self.row.job:
            raise InvalidSchedule(f"The schedule {self.name!r} cannot run: {self.row.error}")
        jobs: builtins.list[UUID] = get_store(self._using).run_schedule(self.row, ticks)
        backend = get_backend(str(self.row.backend))
        return [backend.get_result(str(job)) for job in jobs]

    def _changed(self, is_changed: bool) -> None:  # noqa: FBT001
        if not is_changed:
            raise unknown_schedule(self.name, self._using)
        self.refresh()


def get(name: str, *, using: str = DEFAULT_DB_ALIAS) -> StoredSchedule:
    """Return the schedule with a name.

    Args:
        name: of the schedule.
        using: alias in DATABASES.

    Raises:
        LookupError: if there is none.
    """
    row = Schedule.objects.using(using).filter(pk=name).first()
    if row is None:
        raise unknown_schedule(name, using)
    return StoredSchedule(row, using)


def list(*, using: str = DEFAULT_DB_ALIAS) -> builtins.list[StoredSchedule]:  # noqa: A001
    """Return all schedules of a database, by name.

    Args:
        using: alias in DATABASES.
    """
    rows = Schedule.objects.using(using).order_by("name")
    return [StoredSchedule(row, using) for row in rows]


def unknown_schedule(name: str, using: str) -> LookupError:
    """Return the error for a name that no schedule has."""
    names = Schedule.objects.using(using).order_by("name").values_list("name", flat=True)
    known = [str(known) for known in names]
    hint = did_you_mean(name, known) if known else " There is none yet."
    return LookupError(f"There is no schedule {name!r}.{hint} {NOT_YET}")
