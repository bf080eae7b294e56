"""Makes the pause of a queue or a task from what an operator says, and says whether it has one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from offload.operators import require_note
from offload.store.queue_records import Pause
from offload.timestamps import end_of_pause, now_microseconds, to_datetime


@dataclass(frozen=True, slots=True)
class PauseStatus:
    """Whether a queue or a task is paused, and why.

    Attributes:
        is_paused: whether its jobs do not start.
        reason: why; empty if it is not paused, or nobody has said why.
        is_reason_public: whether the pages of waiting jobs show the reason.
        changed_by: the operator who paused it.
        paused_at: when; None if it is not paused.
        paused_until: when the pause ends by itself; None if somebody must resume it.
    """

    is_paused: bool
    reason: str
    is_reason_public: bool
    changed_by: str
    paused_at: datetime | None
    paused_until: datetime | None


def pause_values(pause: Pause | None) -> dict[str, Any]:
    """Return the values of a `PauseStatus`."""
    return {
        "is_paused": pause is not None,
        "reason": "" if pause is None else pause.reason,
        "is_reason_public": pause is not None and pause.is_public,
        "changed_by": "" if pause is None else pause.changed_by,
        "paused_at": None if pause is None else pause.paused_at,
        "paused_until": None if pause is None else pause.until,
    }


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
