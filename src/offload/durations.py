"""Durations as seconds or as a timedelta."""

from __future__ import annotations

from datetime import timedelta

MAX_SECONDS = 100 * 366 * 86_400.0
"""The longest duration, a hundred years: added to any date it still is a date."""


def seconds(value: float | timedelta) -> float:
    """Return a duration in seconds.

    Raises:
        TypeError: for a value that is no duration.
        ValueError: for a negative duration, or one longer than 100 years.
    """
    if isinstance(value, bool | str):
        raise TypeError(f"A duration must be seconds or a timedelta, not {value!r}.")
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= number <= MAX_SECONDS:
        raise ValueError(f"A duration must be from 0 seconds to 100 years, not {value!r}.")
    return number
