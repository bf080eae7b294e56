"""The output of `offload_schedules`: a table of schedules, the details of one, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from offload.management.formatting import format_line, format_rows
from offload.policies.cron import find_zone
from offload.timestamps import to_iso, to_utc

if TYPE_CHECKING:
    from offload.schedules.stored import StoredSchedule

HEADER = ("NAME", "WHEN", "TIME ZONE", "STATE", "NEXT RUN", "SKIPPED", "TASK")
ABSENT = "-"
FULL = "queue full"
"""What the table says instead of "active" while a tick waits for room in its queue."""
TIME = "%a %Y-%m-%d %H:%M:%S %Z"


def format_schedules(schedules: Sequence[StoredSchedule]) -> str:
    """Return one line per schedule, below a header."""
    return format_rows(
        [
            HEADER,
            *(
                (
                    schedule.name,
                    schedule.when,
                    ABSENT if schedule.row.every else str(schedule.row.timezone),
                    FULL if schedule.full_queue else schedule.state,
                    _shown(schedule.next_run_at, schedule) or ABSENT,
                    f"{schedule.row.skipped:,}",
                    str(schedule.row.task_path),
                )
                for schedule in schedules
            ),
        ]
    )


def format_schedule(schedule: StoredSchedule) -> str:
    """Return the details of a schedule, one per line."""
    row = schedule.row
    details: dict[str, Any] = {
        "name": schedule.name,
        "task": row.task_path,
        "arguments": row.arguments,
        "when": schedule.when,
        "in words": schedule.in_words,
        "time zone": row.timezone,
        "defined in": row.source,
        "state": schedule.state,
        "catch up": row.catch_up,
        "overlap": row.overlap,
    }
    if schedule.problem:
        details["problem"] = schedule.problem
    if row.paused_at is not None:
        by = f" by {row.changed_by}" if row.changed_by else ""
        details["paused"] = f"{_shown(row.paused_at, schedule)}{by}"
        details["until"] = _shown(row.paused_until, schedule) or "it is resumed"
        details["reason"] = row.reason
    if schedule.full_queue:
        since = _shown(row.held_since, schedule)
        details["waits for"] = f"room in the queue {schedule.full_queue}, since {since}"
    if row.last_tick_at is not None:
        details["last tick"] = _shown(row.last_tick_at, schedule)
    if row.last_job is not None:
        details["last job"] = row.last_job
    if row.skipped:
        details["skipped"] = f"{row.skipped:,}, last {_shown(row.skipped_at, schedule)}"
        details["because of"] = row.skipped_why
    lines = [format_line(label, value) for label, value in details.items()]
    return "\n".join([*lines, *format_ticks(schedule.next_runs(), str(row.timezone))])


def format_ticks(ticks: Sequence[datetime], zone: str) -> list[str]:
    """Return one line per tick, in the time zone of the schedule."""
    return [
        format_line("" if number else "next runs", _in_zone(tick, zone))
        for number, tick in enumerate(ticks)
    ]


def schedule_document(schedule: StoredSchedule) -> dict[str, Any]:
    """Return a schedule as JSON values."""
    row = schedule.row
    return {
        "name": schedule.name,
        "task": row.task_path,
        "arguments": row.arguments,
        "when": schedule.when,
        "timezone": row.timezone,
        "source": row.source,
        "state": schedule.state,
        "problem": schedule.problem,
        "full_queue": schedule.full_queue,
        "next_run_at": to_iso(schedule.next_run_at),
        "next_runs": [to_iso(tick) for tick in schedule.next_runs()],
        "paused_until": to_iso(row.paused_until),
        "reason": row.reason,
        "changed_by": row.changed_by,
        "last_tick_at": to_iso(row.last_tick_at),
        "last_job": None if row.last_job is None else str(row.last_job),
        "skipped": row.skipped,
        "skipped_at": to_iso(row.skipped_at),
        "skipped_why": row.skipped_why,
    }


def _shown(moment: datetime | None, schedule: StoredSchedule) -> str:
    """Return a time in the time zone of a schedule; empty for none."""
    return "" if moment is None else _in_zone(moment, str(schedule.row.timezone))


def _in_zone(moment: datetime, zone: str) -> str:
    try:
        clock: tzinfo = find_zone(zone)
    except ValueError:  # of a broken schedule
        clock = UTC
    return f"{to_utc(moment).astimezone(clock):{TIME}}"
