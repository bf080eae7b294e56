"""When a cron expression matches around a change of the clock, found by looking at each minute.

It shares no code with `offload.policies.cron`, nor with the calendar that this uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
"""The last one changes its clock by half an hour."""
EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 * * * *",
    "15,45 * * * *",
    "0 */2 * * *",
    "30 */3 * * *",
    "*/20 */4 * * *",
    "0 0 * * *",
    "0 1 * * *",
    "30 1 * * *",
    "59 1 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "59 2 * * *",
    "0 3 * * *",
    "*/10 2 * * *",
    "*/15 1-3 * * *",
    "0,30 1,2 * * *",
    "45 23 * * *",
    "30 2 * * 0",
    "30 1-2 29 3 *",
)
WITH_SECONDS = ("0 30 2 * * *", "*/20 59 1 * * *", "30 */15 * * * *")
TOPS = (59, 59, 23, 31, 12, 6)
"""The largest value of each field."""
MINUTE = timedelta(minutes=1)

type Pair = tuple[datetime, datetime]


def changes(zone: str, years: range) -> Iterator[datetime]:
    """Yield the moments at which a zone changes its clock, to the minute."""
    moment = datetime(years[0], 1, 1, tzinfo=UTC)
    while moment.year in years:
        later = moment + timedelta(days=1)
        if offset(moment, zone) != offset(later, zone):
            found = moment
            while offset(found, zone) == offset(moment, zone):
                found += MINUTE
            yield found
        moment = later


def offset(moment: datetime, zone: str) -> timedelta | None:
    return moment.astimezone(ZoneInfo(zone)).utcoffset()


def expected(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return all matches after `start` and until `end`."""
    fields = expression.split()
    step = timedelta(seconds=1) if len(fields) == 6 else MINUTE
    fields = fields if len(fields) == 6 else ["0", *fields]
    values = [numbers(field, top) for field, top in zip(fields, TOPS, strict=True)]
    shown, first, missing = local_times(zone, start, end, step)
    if fields[2].startswith("*"):
        return [moment for moment, local in shown if matches(values, local)]
    found = {moment for local, moment in first if matches(values, local)}
    found |= {moment for local, moment in missing if matches(values, local)}
    # A local time that is repeated here may have come before the window.
    return sorted(moment for moment in found if moment.astimezone(ZoneInfo(zone)).fold == 0)


@cache
def local_times(
    zone: str, start: datetime, end: datetime, step: timedelta
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return moments and their local times, local times and their first moments, and missing ones.

    Missing are local times that do not exist, with the first moment after the gap.
    """
    clock = ZoneInfo(zone)
    moments = [start + number * step for number in range(1, (end - start) // step + 1)]
    shown = [(moment, moment.astimezone(clock).replace(tzinfo=None)) for moment in moments]
    first: dict[datetime, datetime] = {}
    missing = []
    for moment, local in shown:
        first.setdefault(local, moment)
    for (_, before), (moment, after) in pairwise(shown):
        local = before + step
        while local < after:
            missing.append((local, moment))
            local += step
    return shown, list(first.items()), missing


def matches(values: list[set[int]], local: datetime) -> bool:
    return (
        local.minute in values[1]
        and local.second in values[0]
        and local.hour in values[2]
        and local.day in values[3]
        and local.month in values[4]
        and local.isoweekday() % 7 in values[5]
    )


def numbers(field: str, top: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        whole = range(top + 1) if span == "*" else range(int(low), int(high or low) + 1)
        found |= {number for number in whole if number % int(step or 1) == 0}
    return found
