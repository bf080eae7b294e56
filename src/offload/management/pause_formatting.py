"""Pauses of queues and tasks in the output of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offload.management.formatting import format_time
from offload.text import to_terminal_text
from offload.timestamps import to_iso

if TYPE_CHECKING:
    from offload.backends.pauses import PauseStatus
    from offload.store.queue_records import Pause


def format_paused(paused: PauseStatus) -> str:
    """Return whether a queue or a task is paused, and until when."""
    if not paused.is_paused:
        return "no"
    return "yes" if paused.paused_until is None else f"until {format_time(paused.paused_until)}"


def format_pause(paused: PauseStatus) -> dict[str, str]:
    """Return the details of a pause by label; none if there is no pause."""
    if not paused.is_paused:
        return {}
    by = f" by {paused.changed_by}" if paused.changed_by else ""
    shown = " (shown on pages)" if paused.is_reason_public else ""
    return {
        "since": f"{format_time(paused.paused_at)}{by}",
        "reason": f"{paused.reason or '-'}{shown}",
    }


def status_document(paused: PauseStatus) -> dict[str, Any]:
    """Return whether a queue or a task is paused, as JSON values."""
    return {
        "is_paused": paused.is_paused,
        "reason": paused.reason,
        "is_reason_public": paused.is_reason_public,
        "changed_by": paused.changed_by,
        "paused_at": to_iso(paused.paused_at),
        "paused_until": to_iso(paused.paused_until),
    }


def pause_document(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause as JSON values; None without one."""
    if pause is None:
        return None
    return {
        "reason": pause.reason,
        "changed_by": pause.changed_by,
        "paused_at": to_iso(pause.paused_at),
        "paused_until": to_iso(pause.until),
    }


def describe_pause(pause: Pause) -> str:
    """Return a pause in words, such as "paused until 14:00 by ada: The provider is down"."""
    text = "paused"
    if pause.until is not None:
        text += f" until {format_time(pause.until)}"
    if pause.changed_by:
        text += f" by {pause.changed_by}"
    return to_terminal_text(f"{text}: {pause.reason}" if pause.reason else text)
