"""Schedules as they are defined, and changes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from offload.failpoints import failpoint
from offload.models import Schedule
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.schedule_records import (
    ADMIN,
    TIMING_COLUMNS,
    JobTemplate,
    KeptSchedules,
    ScheduleDefinition,
    SchedulesOfCode,
)
from offload.store.schedule_ticks import UNPAUSED, ScheduleTicks, definition_of, first_run
from offload.timestamps import now_microseconds, to_microseconds
from offload.uuid7 import new_id

CLOCK_TOLERANCE = 300_000_000
"""Microseconds; a last tick that is further in the future shows that the clock was set back."""


class Schedules(ScheduleTicks):
    """Keeps the definitions of schedules, and pauses, resumes and runs them."""

    def keep_schedules(self, backend: str, code: SchedulesOfCode) -> KeptSchedules:
        """Write the schedules of the code and the settings where they have changed.

        A schedule that is new, or whose times have changed, ticks from now on. One that the code
        does not have any more is retired. Those of code that was loaded later stay.

        Args:
            backend: alias in TASKS.
            code: what the process has loaded.
        """
        kept = KeptSchedules([], [], [], [])
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            now = self.database_clock()
            rows = {str(row.name): row for row in self._schedules()}
            same = []
            for name, definition in sorted(code.schedules.items()):
                row = rows.get(name)
                if row is not None and (row.source == ADMIN or row.backend != backend):
                    kept.refused.append(name)
                elif row is not None and row.loaded_at > code.loaded_at:
                    kept.newer.extend([name] if _differs(definition, row) else [])
                elif row is None or _differs(definition, row):
                    kept.replaced.extend([] if row is None else [name])
                    self._write_schedule(definition, row, now, loaded_at=code.loaded_at)
                else:
                    same.append(name)
            older = self._schedules().filter(pk__in=same, loaded_at__lt=code.loaded_at)
            older.update(loaded_at=code.loaded_at)
            own = [row for row in rows.values() if row.backend == backend]
            kept.retired.extend(self._follow_code(own, code, now))
            self._repair_after_clock_steps(rows.values(), now)
            failpoint("schedules.kept")
        return kept

    def newer_schedules(self, backend: str, code: SchedulesOfCode) -> list[str]:
        """Return the names that code that was loaded later defines otherwise."""
        rows = self._schedules().filter(backend=backend, loaded_at__gt=code.loaded_at)
        return [
            str(row.name)
            for row in rows.exclude(source=ADMIN).order_by("name")
            if row.name in code.schedules and _differs(code.schedules[str(row.name)], row)
        ]

    def _follow_code(
        self, rows: Iterable[Schedule], code: SchedulesOfCode, now: int
    ) -> Iterator[str]:
        """Renew the templates of schedules made at run time; retire those that the code lacks.

        Yields:
            The names of those that were retired.
        """
        for row in rows:
            if row.loaded_at > code.loaded_at:
                continue
            if row.source == ADMIN:
                if row.task_path in code.jobs:
                    self._renew_template(row, code.jobs[str(row.task_path)], code.loaded_at)
            elif code.is_complete and row.name not in code.schedules and row.retired_at is None:
                self._update(
                    str(row.name), retired_at=now, next_run_at=None, loaded_at=code.loaded_at
                )
                yield str(row.name)

    def _write_schedule(
        self, definition: ScheduleDefinition, row: Schedule | None, now: int, *, loaded_at: int = 0
    ) -> None:
        """Write a definition; a schedule whose times stay the same ticks as before."""
        columns: dict[str, Any] = definition._asdict() | {"digest": definition.digest}
        columns["loaded_at"] = loaded_at
        if row is None:
            columns |= first_run(definition, now)
            Schedule.objects.using(self.using).bulk_create(
                [Schedule(**columns)],
                ignore_conflicts=True,  # another worker adds it, too
            )
        else:
            if definition.error or row.error or row.retired_at or _moves(definition, row):
                columns |= {"retired_at": None, **self._next_of(definition, row, now)}
            del columns["name"]
            self._update(definition.name, **columns)
        publish_after_commit(self.using, Hint.WORK)

    def _next_of(self, definition: ScheduleDefinition, row: Schedule, now: int) -> dict[str, Any]:
        """Return the columns of the next tick; a pause goes on."""
        columns = first_run(definition, now)
        if row.paused_at is not None:
            until = row.paused_until
            columns["next_run_at"] = None if until is None else to_microseconds(until)
        return columns

    def _renew_template(self, row: Schedule, job: JobTemplate, loaded_at: int) -> None:
        """Follow a task's options, except for those that the schedule has of its own."""
        try:
            known = JobTemplate.from_json(str(row.job))
        except (ValueError, TypeError, LookupError):
            return
        job = job._replace(limit_key=known.limit_key, limit=known.limit, unique=known.unique)
        if row.priority is not None:
            job = job._replace(priority=row.priority)
        if row.queue_name:
            job = job._replace(queue_name=str(row.queue_name))
        if job != known:
            self._update(str(row.name), job=job.to_json(), loaded_at=loaded_at)

    def _repair_after_clock_steps(self, rows: Iterable[Schedule], now: int) -> None:
        """Let schedules tick again whose last tick is in the future, as the clock was set back."""
        for row in rows:
            last = row.last_tick_at
            if last is None or row.next_run_at is None:
                continue
            if to_microseconds(last) > now + CLOCK_TOLERANCE:
                definition = definition_of(row)
                self._update(row.name, last_tick_at=now, **self._next_of(definition, row, now))

    # --- changes ------------------------------------------------------------------------

    def add_schedule(self, definition: ScheduleDefinition) -> None:
        """Add a schedule, in the caller's transaction."""
        columns: dict[str, Any] = definition._asdict() | first_run(
            definition, self.database_clock()
        )
        Schedule(**columns).save(using=self.using, force_insert=True)
        publish_after_commit(self.using, Hint.WORK)

    def change_schedule(self, name: str, definition: ScheduleDefinition) -> None:
        """Replace a definition, in the caller's transaction."""
        with transaction.atomic(self.using):
            self._write_schedule(definition, self._lock_schedule(name), self.database_clock())

    def pause_schedule(self, name: str, *, until: int | None, reason: str, changed_by: str) -> bool:
        """Stop ticking until a time, or until it is resumed; return False if it does not exist."""
        with transaction.atomic(self.using):
            row = self._lock_schedule(name)
            if row is None:
                return False
            return self._update(
                name,
                paused_at=self.database_clock(),
                paused_until=until,
                reason=reason,
                changed_by=changed_by,
                next_run_at=None if row.retired_at or row.error else until,
            )

    def resume_schedule(self, name: str) -> bool:
        """Let a paused or broken schedule tick from now on; return False if it does not exist."""
        with transaction.atomic(self.using):
            row = self._lock_schedule(name)
            if row is None:
                return False
            if row.paused_at is None and not row.error:
                return True
            columns: dict[str, Any] = dict(UNPAUSED)
            if row.retired_at is None and row.job:  # else it is broken in the code
                columns |= first_run(definition_of(row), self.database_clock())
            publish_after_commit(self.using, Hint.WORK)
            return self._update(name, **columns)

    def delete_schedule(self, name: str) -> bool:
        """Delete a schedule; return False if it does not exist."""
        return bool(self._schedules().filter(pk=name).delete()[0])

    def run_schedule(self, row: Schedule, ticks: Sequence[int | None]) -> list[UUID]:
        """Add jobs of a schedule besides its ticks, in the caller's transaction.

        Args:
            row: the schedule.
            ticks: the tick of each job; None for an extra run.

        Returns:
            The jobs; if they are unique and another job holds their key, that job.
        """
        template = JobTemplate.from_json(str(row.job))
        now = now_microseconds()
        with transaction.atomic(self.using, savepoint=False):
            jobs = [
                self.insert_scheduled(row, template, new_id(), tick=tick, now=now) for tick in ticks
            ]
        publish_after_commit(self.using, Hint.WORK)
        return jobs

    def _lock_schedule(self, name: str) -> Schedule | None:
        """Return a schedule, locked until the end of the transaction, on SQLite too."""
        rows = self._schedules().filter(pk=name)
        rows.update(name=name)
        return rows.first()

    def _update(self, name: str, **columns: Any) -> bool:
        return bool(self._schedules().filter(pk=name).update(**columns))

    def _schedules(self) -> QuerySet[Schedule]:
        return Schedule.objects.using(self.using)


def _differs(definition: ScheduleDefinition, row: Schedule) -> bool:
    """Return whether a row is not that of a definition in the code."""
    return row.digest != definition.digest or row.retired_at is not None


def _moves(definition: ScheduleDefinition, row: Schedule) -> bool:
    """Return whether a definition has other times than a row."""
    known = definition_of(row)
    return any(getattr(definition, name) != getattr(known, name) for name in TIMING_COLUMNS)
