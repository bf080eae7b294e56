"""Times of calls: countdown, eta and expires, with the time zone of the app."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

SOONEST = timedelta(microseconds=1)
"""The shortest time after which a job expires."""


def run_after_of(options: Mapping[str, Any], zone: tzinfo) -> datetime | timedelta | None:
    """Return when a call is due, by its `countdown` or `eta`; None for at once."""
    if options.get("countdown") is not None:
        delay = options["countdown"]
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        return timedelta(seconds=max(0.0, seconds)) if seconds > 0 else None
    eta = options.get("eta")
    return None if eta is None else aware(eta, zone)


def expires_after(
    expires: float | timedelta | datetime, run_after: datetime | timedelta | None, zone: tzinfo
) -> timedelta:
    """Return the time from `run_after`, or from now, after which the job does not start."""
    now = datetime.now(UTC)
    start = now
    if isinstance(run_after, timedelta):
        start = now + run_after
    elif run_after is not None:
        start = max(now, run_after)
    if isinstance(expires, datetime | str):
        end = aware(expires, zone)
    else:
        end = now + (expires if isinstance(expires, timedelta) else timedelta(seconds=expires))
    return max(end - start, SOONEST)


def aware(moment: datetime | str, zone: tzinfo) -> datetime:
    """Return a time with a time zone, which is `zone` if it has none; text is ISO 8601."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def zone_of(conf: Any) -> tzinfo:
    """Return the time zone of times without one: UTC, unless `CELERY_TIMEZONE` says otherwise."""
    name = conf.timezone
    if not name:
        return UTC
    return ZoneInfo(name) if isinstance(name, str) else name


def seconds_until(when: float | timedelta | datetime | str | None, zone: tzinfo) -> float:
    """Return the seconds until a time; 0 if it has passed.

    Args:
        when: seconds, or a time; text is ISO 8601.
        zone: of a time without one.
    """
    if when is None:
        return 0.0
    if isinstance(when, timedelta):
        return max(0.0, when.total_seconds())
    if isinstance(when, datetime | str):
        return max(0.0, (aware(when, zone) - datetime.now(UTC)).total_seconds())
    return max(0.0, float(when))
