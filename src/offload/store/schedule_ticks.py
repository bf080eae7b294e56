"""The ticks of schedules: which are due, and their jobs.

There is no leader. Each worker looks at the rows that are due. The row's lock, and the condition
that it was not moved meanwhile, let one worker fire a tick. The job's id is made of the schedule's
name and the tick, so that a second job of the tick would have the same primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import F

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Job, Schedule
from offload.notifier import Hint
from offload.policies.ticks import Verdict, judge
from offload.store.errors import is_about_data, is_lock_timeout
from offload.store.hints import publish_after_commit
from offload.store.records import NewJob, UniqueCall, UniqueTerms
from offload.store.schedule_records import (
    DueSchedule,
    FiredSchedules,
    JobTemplate,
    ScheduleDefinition,
    UniqueTick,
    limit_slot,
    new_job,
)
from offload.store.session import seconds_until
from offload.store.statements import statement
from offload.store.unique_jobs import UniqueJobs
from offload.timestamps import now_microseconds, to_datetime, to_microseconds
from offload.uuid7 import id_of_tick

MAX_DUE = 100
"""Schedules that one transaction fires, at most."""
UNPAUSED: dict[str, Any] = {"paused_at": None, "paused_until": None, "reason": "", "changed_by": ""}
"""Columns of a schedule that is not paused."""


HELD_FOR = 5_000_000
"""Microseconds until the next look at a tick whose queue is full."""
UNIQUE = "unique"
"""Why a tick is skipped whose unique key another job holds."""
FULL = "full"
"""Why a tick is skipped that waited for room in its queue, until it was too late."""

type Admits = Callable[[str, str], bool]
"""Returns whether a queue takes a job: of a backend, by the queue's name."""


class _Firing(NamedTuple):
    """A schedule that is due, and what keeps its ticks from becoming jobs."""

    schedule: DueSchedule
    is_busy: bool
    admits: Admits | None

    def is_admitted(self, queue: str) -> bool:
        return self.admits is None or self.admits(self.schedule.definition.backend, queue)


class ScheduleTicks(UniqueJobs):
    """Finds the schedules that are due, and adds their jobs."""

    def fire_schedules(self, admits: Admits | None = None) -> FiredSchedules:
        """Add the jobs of the ticks that are due, of at most 100 schedules.

        A schedule that cannot tick is marked with the reason, and keeps no other from ticking. One
        whose queue is full keeps its tick, and is looked at again soon.

        Args:
            admits: says whether a queue takes a job; by default each does.
        """
        fired = FiredSchedules(0, {}, {}, [], self._seconds_to_schedule())
        if fired.next_in is None or fired.next_in > 0:  # only then SQLite's write lock is taken
            return fired
        jobs = 0
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            due = self._due_schedules()
            failpoint("schedules.locked")
            busy = self._busy(due)
            for schedule in due:
                try:
                    with transaction.atomic(self.using):
                        firing = _Firing(schedule, schedule.name in busy, admits)
                        jobs += self._fire(firing, fired)
                except (ValueError, TypeError, LookupError, DatabaseError) as error:
                    if is_lock_timeout(error):  # for the key of a unique job
                        self._move(schedule, next_run_at=schedule.now + HELD_FOR)
                        continue
                    if isinstance(error, DatabaseError) and not is_about_data(error):
                        raise
                    fired.broken[schedule.name] = f"{type(error).__name__}: {error}"
                    self._mark_broken(schedule, fired.broken[schedule.name])
            if jobs:
                publish_after_commit(self.using, Hint.WORK)
        failpoint("schedules.committed")
        return fired._replace(jobs=jobs, next_in=self._seconds_to_schedule())

    def fire_at(self, row: Schedule, moment: int, *, within: int) -> int | None:
        """Fire the tick of a schedule at a time, as if it was now; for tests.

        Args:
            row: the schedule.
            moment: the time.
            within: how long before the time the tick may be.

        Returns:
            The tick; None if there is none. It may have been skipped.
        """
        definition = definition_of(row)
        tick = next(definition.timing.between(moment - within + 1, moment), None)
        if tick is not None:
            rows = Schedule.objects.using(self.using).filter(pk=row.pk)
            rows.update(next_tick_at=to_datetime(tick), next_run_at=to_datetime(tick))
            definition = definition._replace(jitter=0.0)
            schedule = DueSchedule(definition, tick, tick, None, None, row.last_job, moment)
            firing = _Firing(schedule, bool(self._busy([schedule])), None)
            self._fire(firing, FiredSchedules(0, {}, {}, [], None))
        return tick

    def _seconds_to_schedule(self) -> float | None:
        with self.connection.cursor() as cursor:
            sql = statement(self.dialect, "seconds_to_schedule")
            cursor.execute(sql, {"now": now_microseconds()})
            return seconds_until(cursor.fetchone()[0])

    def _due_schedules(self) -> list[DueSchedule]:
        parameters = {"limit": MAX_DUE, "now": now_microseconds()}
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "due_schedules"), parameters)
            return [DueSchedule.from_row(row) for row in cursor.fetchall()]

    def _busy(self, due: Sequence[DueSchedule]) -> set[str]:
        """Return the schedules that skip a tick while the job of the last one has not finished."""
        last = {
            UUID(str(schedule.last_job)): schedule.name
            for schedule in due
            if schedule.definition.overlap == "skip" and schedule.last_job is not None
        }
        if not last:
            return set()
        jobs = Job.objects.using(self.using).filter(pk__in=list(last), finished_at=None)
        return {last[job] for job in jobs.values_list("pk", flat=True)}

    def _fire(self, firing: _Firing, fired: FiredSchedules) -> int:
        """Move a schedule to its next tick, and add the jobs of those that are due."""
        schedule = firing.schedule
        definition = schedule.definition
        if schedule.paused_until is not None:
            self._move(schedule, **UNPAUSED, **first_run(definition, schedule.now))
            return 0
        verdict = judge(
            definition.timing,
            definition.rules,
            schedule.next_tick,
            now=schedule.now,
            is_busy=firing.is_busy,
        )
        if verdict is None:  # the delay of the tick has grown since it was computed
            self._move(schedule, next_run_at=definition.rules.run_at(schedule.next_tick))
            return 0
        template = JobTemplate.from_json(definition.job)
        if verdict.ticks and not firing.is_admitted(template.queue_name):
            self._hold(schedule, template.queue_name, fired)
            return 0
        if not self._move(schedule, **_columns(schedule, verdict, fired)):
            return 0
        failpoint("schedules.moved")
        refused = []
        for tick in verdict.ticks:
            job = id_of_tick(schedule.name, tick)
            kept = self.insert_scheduled(definition, template, job, tick=tick, now=schedule.now)
            if kept != job:
                refused.append(tick)
        if refused:
            self._skip_unique(schedule, refused)
        failpoint("schedules.inserted")
        return len(verdict.ticks) - len(refused)

    def _skip_unique(self, schedule: DueSchedule, ticks: Sequence[int]) -> None:
        """Count ticks as skipped whose unique key another job holds."""
        columns: dict[str, Any] = {"skipped": F("skipped") + len(ticks), "skipped_why": UNIQUE}
        columns["skipped_at"] = ticks[-1]
        rows = Schedule.objects.using(self.using).filter(pk=schedule.name)
        if rows.filter(last_job=id_of_tick(schedule.name, ticks[-1])).exists():
            columns["last_job"] = schedule.last_job
        rows.update(**columns)

    def _hold(self, schedule: DueSchedule, queue: str, fired: FiredSchedules) -> None:
        """Keep the tick of a schedule until its queue has room."""
        is_new = schedule.held_since is None
        since = schedule.now if is_new else schedule.held_since
        is_moved = self._move(schedule, held_since=since, next_run_at=schedule.now + HELD_FOR)
        if is_new and is_moved:
            fired.held[schedule.name] = queue

    def _move(self, schedule: DueSchedule, **columns: Any) -> bool:
        """Write columns of a schedule, unless it was moved since it was read."""
        rows = Schedule.objects.using(self.using).filter(
            pk=schedule.name, next_run_at=to_datetime(schedule.next_run_at)
        )
        return bool(rows.update(**columns))

    def insert_scheduled(
        self, schedule: Any, template: JobTemplate, job: UUID, *, tick: int | None, now: int
    ) -> UUID:
        """Add a job of a schedule, in the caller's transaction, unless it exists; return its id.

        If the jobs of the task are unique, and another job holds the key, return that job's id.

        Args:
            schedule: its definition, or the model.
            template: of its jobs.
            job: the job's id.
            tick: the tick; None for an extra run.
            now: when the job is enqueued.
        """
        row = new_job(schedule, template, self.key(job), now)
        if template.unique is not None:
            holder = self._insert_unique_tick(row, template, template.unique)
            if holder is None:
                rows = Job.objects.using(self.using).filter(pk=job)
                moment = None if tick is None else to_datetime(tick)
                rows.update(schedule=schedule.name, scheduled_for=moment)
            return holder or job
        values = (template.limit_key, limit_slot(template), schedule.name, tick, *row)
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "insert_scheduled"), values)
        if template.limit_key is not None:
            self.add_notices({template.limit_key: template.limit})
        return job

    def _insert_unique_tick(
        self, row: NewJob, template: JobTemplate, unique: UniqueTick
    ) -> UUID | None:
        """Add a job with a key; return the job that holds the key already, or None.

        The job itself may exist, as for a tick that is backfilled.
        """
        job = Job.objects.using(self.using).filter(pk=UUID(row.id)).values_list("pk", flat=True)
        if known := job.first():
            return known
        if unique.delay:
            expires_at = None if row.expires_at is None else row.expires_at + unique.delay
            row = row._replace(
                state=int(JobState.SCHEDULED),
                run_after=row.run_after + unique.delay,
                expires_at=expires_at,
            )
        within = None if unique.within is None else row.enqueued_at + unique.within
        terms = UniqueTerms(unique.until, within, unique.replaces, unique.maximum)
        call = UniqueCall(row.id, row.arguments, template.limit_key, unique.key)
        limits = {} if template.limit_key is None else {template.limit_key: template.limit}
        holder = self.insert_unique(row, [call], terms, limits).get(unique.key)
        return None if holder is None else holder.pk

    def _mark_broken(self, schedule: DueSchedule, error: str) -> None:
        self._move(schedule, next_run_at=None, held_since=None, error=error)

    def database_clock(self) -> int:
        """Return the time of the database's clock."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "clock"), {"now": now_microseconds()})
            return int(cursor.fetchone()[0])


def first_run(definition: ScheduleDefinition, now: int) -> dict[str, Any]:
    """Return the columns of the first tick after a time, or why there is none."""
    error = definition.error
    try:
        tick = None if error else definition.timing.next_after(now)
    except ValueError as problem:
        tick, error = None, str(problem)
    return {"error": error, **next_run(definition, tick)}


def next_run(definition: ScheduleDefinition, tick: int | None) -> dict[str, int | None]:
    """Return the columns of a tick."""
    run_at = None if tick is None else definition.rules.run_at(tick)
    return {"next_tick_at": tick, "next_run_at": run_at, "held_since": None}


def definition_of(row: Schedule) -> ScheduleDefinition:
    """Return the definition in a row."""
    values = {name: getattr(row, name) for name in ScheduleDefinition._fields if name != "error"}
    for name in ("start_at", "end_at"):
        if values[name] is not None:
            values[name] = to_microseconds(values[name])
    return ScheduleDefinition(**values)


def _columns(schedule: DueSchedule, verdict: Verdict, fired: FiredSchedules) -> dict[str, Any]:
    """Return the columns of a schedule after a verdict."""
    columns: dict[str, Any] = next_run(schedule.definition, verdict.next_tick)
    columns["last_tick_at"] = verdict.last
    if verdict.ticks:
        columns["last_job"] = id_of_tick(schedule.name, verdict.ticks[-1])
    if verdict.skipped:
        why = verdict.why
        if schedule.held_since is not None and why != "overlap":
            why = FULL
            fired.dropped.append(schedule.name)
        columns["skipped"] = F("skipped") + verdict.skipped
        columns |= {"skipped_at": verdict.last, "skipped_why": why}
    return columns
