"""Makes the pause of a queue or a task from what an operator says."""

from __future__ import annotations

from datetime import datetime, timedelta

from offload.operators import require_note
from offload.store.queue_records import Pause
from offload.timestamps import end_of_pause, now_microseconds, to_datetime


def new_pause(
    reason: str = "",
    until: datetime | timedelta | None = None,
    public: bool = False,  # noqa: FBT001, FBT002  # by name, from PauseOptions
    changed_by: str = "",
) -> Pause:
    """Return a pause that begins now.

    Raises:
        TypeError, ValueError: for a bad argument.
    """
    require_note(reason, changed_by)
    if public and not reason.strip():
        raise ValueError("public=True shows the reason to the people who wait: pass a reason.")
    now = now_microseconds()
    end = None if until is None else to_datetime(end_of_pause(until, now))
    return Pause(to_datetime(now), end, reason.strip(), public, changed_by)
