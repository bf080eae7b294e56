"""Schedules, and what becomes of their ticks, as plain tuples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from offload.lifecycle import JobState
from offload.policies.ticks import Rules, Timing
from offload.store.limit_records import WAITS, KeyDetails
from offload.store.records import NewJob

if TYPE_CHECKING:
    from uuid import UUID

CODE, SETTINGS, ADMIN = "code", "settings", "admin"
"""Where a schedule is defined; those made at run time count as made in the admin."""
WAIT_LIMIT = "schedule/"
"""How the limit of a schedule with overlap="wait" is named, before the schedule's name."""
MICROSECONDS = 1_000_000
TIMING_COLUMNS = ("cron", "every", "timezone", "start_at", "end_at", "jitter")
"""Columns whose change moves the next tick."""


class UniqueTick(NamedTuple):
    """What is unique about the jobs of a schedule, which all have the same arguments.

    Attributes:
        key: the key of each job.
        until: the first state in which a job no longer holds the key.
        within: microseconds from the tick for which it holds the key at least; None for no time.
        replaces: whether a tick replaces the arguments of the waiting job that holds the key.
        delay: microseconds from the tick to the start of the job, as a `Debounce` demands.
        maximum: microseconds from the first tick to the start, at most; None without a bound.
    """

    key: str
    until: int
    within: int | None
    replaces: bool
    delay: int
    maximum: int | None


class JobTemplate(NamedTuple):
    """The columns of a schedule's jobs that the task and its options decide.

    Attributes:
        expires: seconds after the tick within which the job must start; None for no limit.
        limit_key: the key of the task's limit; None without a limit.
        limit: what workers must know of the key.
        unique: what is unique about the jobs; None if nothing is.
    """

    queue_name: str
    priority: int
    is_async: bool
    timeout: float | None
    max_attempts: int
    max_worker_losses: int
    expires: float | None = None
    limit_key: str | None = None
    limit: KeyDetails | None = None
    unique: UniqueTick | None = None

    def to_json(self) -> str:
        return json.dumps(self._asdict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> JobTemplate:
        """Return the template in a row.

        Raises:
            ValueError, TypeError: for a damaged row.
        """
        values = json.loads(text)
        if values["limit"] is not None:
            values["limit"] = KeyDetails(*values["limit"])
        if values.get("unique") is not None:
            values["unique"] = UniqueTick(*values["unique"])
        return cls(**values)


class ScheduleDefinition(NamedTuple):
    """A schedule as it is defined: columns of `Schedule`.

    Attributes:
        error: why it cannot tick; empty if it can.
    """

    name: str
    source: str
    backend: str
    task_path: str
    arguments: str
    priority: int | None
    queue_name: str
    job: str
    cron: str
    every: int | None
    timezone: str
    start_at: int | None
    end_at: int | None
    jitter: float
    catch_up: str
    deadline: float | None
    overlap: str
    error: str = ""

    @property
    def digest(self) -> str:
        """A hash by which a change of the definition is found."""
        return hashlib.blake2b(json.dumps(self).encode(), digest_size=20).hexdigest()

    @property
    def timing(self) -> Timing:
        return Timing(self.cron, self.every, self.timezone, self.start_at, self.end_at)

    @property
    def rules(self) -> Rules:
        deadline = self.deadline
        return Rules(
            self.name,
            int(self.jitter * MICROSECONDS),
            self.catch_up,
            None if deadline is None else int(deadline * MICROSECONDS),
            self.overlap,
        )


class SchedulesOfCode(NamedTuple):
    """The schedules of a backend that a process has loaded.

    Attributes:
        schedules: by name.
        jobs: templates of the jobs of tasks that may be scheduled at run time, by path.
        loaded_at: when the process loaded its code.
        is_complete: whether all tasks could be imported; else no schedule is retired.
    """

    schedules: Mapping[str, ScheduleDefinition]
    jobs: Mapping[str, JobTemplate]
    loaded_at: int = 0
    is_complete: bool = True


class KeptSchedules(NamedTuple):
    """What became of the schedules of the code, by their names.

    Attributes:
        refused: the code cannot have these, as schedules made elsewhere have their names.
        replaced: the definitions of older code were replaced.
        retired: the code does not have these any more.
        newer: code that was loaded later defines these otherwise, or does not have them any more.
    """

    refused: list[str]
    replaced: list[str]
    retired: list[str]
    newer: list[str]


class DueSchedule(NamedTuple):
    """A row of `Schedule` that is due, locked by this transaction.

    Attributes:
        definition: its columns of a definition.
        now: when it was locked, by the database's clock.
    """

    definition: ScheduleDefinition
    next_tick_at: int | None
    next_run_at: int
    paused_until: int | None
    held_since: int | None
    last_job: UUID | str | None
    now: int

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def next_tick(self) -> int:
        """The first tick that may be due."""
        return self.next_run_at if self.next_tick_at is None else self.next_tick_at

    @classmethod
    def from_row(cls, columns: Sequence[Any]) -> DueSchedule:
        """Return what `due_schedules.sql` has read."""
        count = len(ScheduleDefinition._fields)
        return cls(ScheduleDefinition(*columns[:count]), *columns[count:])


class FiredSchedules(NamedTuple):
    """The result of firing the schedules that were due.

    Attributes:
        jobs: how many jobs were added.
        broken: the names of schedules that cannot tick, with the reason.
        held: the full queue for which the tick of a schedule waits from now on, by its name.
        dropped: the names of schedules some of whose waiting ticks were skipped.
        next_in: seconds until the next one is due; None if none is.
    """

    jobs: int
    broken: dict[str, str]
    held: dict[str, str]
    dropped: list[str]
    next_in: float | None


def new_job(schedule: Any, template: JobTemplate, job: str, now: int) -> NewJob:
    """Return the row of a job of a schedule, which nobody owns.

    Args:
        schedule: its definition, or the model.
        template: the schedule's.
        job: its id, as the database takes it.
        now: when it is enqueued.
    """
    expires = template.expires
    state = JobState.READY if template.limit_key is None else JobState.LIMITED
    return NewJob(
        id=job,
        arguments=schedule.arguments,
        state=int(state),
        backend=schedule.backend,
        queue_name=template.queue_name,
        priority=template.priority,
        is_async=template.is_async,
        task_path=schedule.task_path,
        run_after=now,
        expires_at=None if expires is None else now + int(expires * MICROSECONDS),
        enqueued_at=now,
        timeout=template.timeout,
        max_attempts=template.max_attempts,
        max_worker_losses=template.max_worker_losses,
        owner="",
        tenant="",
        request_id="",
        parent=None,
        failure_depth=0,
    )


def limit_slot(template: JobTemplate) -> str | None:
    """Return the place of a new job in the line of its limit; None without a limit."""
    return None if template.limit_key is None else WAITS + template.limit_key
