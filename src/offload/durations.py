"""Durations, as seconds or as a timedelta."""

from __future__ import annotations

from datetime import timedelta

MAX_SECONDS = 100 * 366 * 86_400.0
"""Seconds of the longest duration: a hundred years, so that every sum with it is a date."""


def seconds(value: float | timedelta) -> float:
    """Return a duration in seconds; raise ValueError for one that is negative or too long."""
    if isinstance(value, bool | str):
        raise TypeError(f"A duration must be seconds or a timedelta, not {value!r}.")
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= number <= MAX_SECONDS:
        raise ValueError(f"A duration must be from 0 seconds to 100 years, not {value!r}.")
    return number
