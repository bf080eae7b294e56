"""Timestamps as whole microseconds since 1970 UTC, and as Django's datetimes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.utils import timezone

from offload.durations import MAX_SECONDS

FIRST_MOMENT = -(2**63)
"""Earlier than every timestamp, in microseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1) // _MICROSECOND
_MIN = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND + _DAY
_MAX = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND - _DAY
"""The first and last moments that every time zone can represent."""
_MAX_EXACT = 2**51
"""Up to here, the year 2041, a float of seconds is exact to less than half a microsecond."""


def now_microseconds() -> int:
    """Return the time of this host's clock, to the nearest microsecond."""
    # Not rounded down: a clock that a test has set may lack a few nanoseconds.
    return (time.time_ns() + 500) // 1000


def to_microseconds(moment: datetime) -> int:
    """Return a datetime as microseconds; a naive one is in the current time zone."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """Return microseconds as a datetime: aware if USE_TZ, else naive in the current zone.

    Impossible ones, of a damaged row, become the first or last possible moment: an error would
    fail the whole query.
    """
    if 0 <= microseconds < _MAX_EXACT:  # three times as fast, and called several times per job
        moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    else:
        moment = _EPOCH + timedelta(microseconds=min(max(microseconds, _MIN), _MAX))
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def end_of_pause(until: object, now: int) -> int:
    """Return when a pause ends that begins now, in microseconds.

    Args:
        until: a datetime, or a timedelta from now.
        now: in microseconds.

    Raises:
        TypeError: if it is neither.
        ValueError: if it is not in the future.
    """
    match until:
        case timedelta() if until.total_seconds() <= MAX_SECONDS:
            end = now + until // _MICROSECOND
        case datetime():
            end = to_microseconds(until)
        case _:
            raise TypeError(
                f"until must be a datetime, or a timedelta of at most 100 years, not {until!r}."
            )
    if end <= now:
        raise ValueError(f"until must be in the future, not {until}.")
    return end


def to_utc(moment: datetime) -> datetime:
    """Return a datetime in UTC; a naive one is in the current time zone."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return moment.astimezone(UTC)


def seconds_since(moment: datetime) -> float:
    """Return the seconds that have passed since a datetime; negative if it is in the future."""
    return (datetime.now(UTC) - to_utc(moment)).total_seconds()


def to_iso(moment: datetime | None) -> str | None:
    """Return a datetime for JSON: UTC with milliseconds, as in 2026-11-30T09:20:00.123Z."""
    if moment is None:
        return None
    return to_utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
