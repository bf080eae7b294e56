"""What a poll found, of the columns of its statement."""

from __future__ import annotations

from offload.store.records import PollResult
from offload.store.session import seconds_until


def poll_result(
    queues: list[str],
    scheduled_in: int | None,
    limited_in: int | None,
    schedule_in: int | None,
    *exist: object,
) -> PollResult:
    """Return what a poll found, of the columns of its statement."""
    return PollResult(
        queues,
        seconds_until(scheduled_in),
        seconds_until(limited_in),
        seconds_until(schedule_in),
        *map(bool, exist),
    )
