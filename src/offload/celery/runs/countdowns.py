"""The countdown of a task that follows another one, which begins when that has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from offload.backends.base import get_backend
from offload.context import running_job
from offload.exceptions import Snooze
from offload.timestamps import to_datetime


def wait_for_countdown(seconds: float) -> None:
    """Let the running job begin that many seconds after what it waited for has ended.

    Raises:
        Snooze: if that time has not come.
    """
    running = running_job()
    if running is None or running.workflow is None:
        return
    released_at = get_backend(running.backend).released_at(running.id)
    if released_at is None or to_datetime(running.job.run_after) > released_at:
        return  # it has waited, or is retried
    remaining = released_at + timedelta(seconds=seconds) - datetime.now(UTC)
    if remaining > timedelta(0):
        raise Snooze(remaining.total_seconds())
