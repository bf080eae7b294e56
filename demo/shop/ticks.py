"""Two schedules, and what their last ticks were."""

from datetime import datetime
from typing import Any

from django.tasks import TaskResultStatus
from django.utils import timezone

from offload import OffloadResult, schedules

NAMES = ("interval", "cron")
SHOWN = 5


def punctuality(scheduled_for: datetime | None) -> dict[str, Any]:
    """Return when a job should have started, and how late it has; neither for an extra run."""
    if scheduled_for is None:
        return {"scheduled_for": None, "late_ms": None}
    late = timezone.now() - scheduled_for
    return {
        "scheduled_for": scheduled_for.isoformat(),
        "late_ms": round(late.total_seconds() * 1000),
    }


def find(name: str) -> schedules.StoredSchedule | None:
    """Return a schedule; None until a worker has stored it."""
    try:
        return schedules.get(name)
    except LookupError:
        return None


def last_ticks(schedule: schedules.StoredSchedule | None) -> list[dict[str, Any]]:
    """Return the last ticks, the newest first, each with its job."""
    runs = schedule.runs(SHOWN) if schedule else []
    return [{"job": run, **outcome(run)} for run in runs]


def outcome(run: OffloadResult) -> dict[str, Any]:
    """Return when the job of a tick was due and how late it was; nothing before it has ended."""
    is_done = run.status == TaskResultStatus.SUCCESSFUL
    return run.return_value if is_done else {"scheduled_for": None, "late_ms": None}
