"""Cron expressions in a time zone: when they match.

`cronsim` is the calendar: it says which local times match, and knows of no time zone here. This
module has the clock. An expression with given hours, as in "0 3 * * *", goes by the clock on the
wall: a local time that does not exist matches at the first moment after the gap, one that exists
twice matches the first time. An expression for all hours, as in "*/10 * * * *", goes by elapsed
time: it matches at every moment whose local time does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

MAX_EXPRESSION_LENGTH = 200
"""Characters of an expression that a row can hold."""
SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""What stands for an expression."""
FIRST_YEAR = 2000
"""An expression that matches nowhere in the 50 years after its beginning is refused."""
BAD_DAY = "Bad day-of-month"
"""What cronsim says of a day that the field cannot have, and of one that the months do not have."""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Cron:
    """A cron expression in a time zone.

    Args:
        expression: five fields, or six with the seconds first, or a shorthand such as "@daily".
        zone: name of a time zone, such as "Europe/Berlin".

    Raises:
        ValueError: for an expression or a time zone that does not exist, or an expression that
            never matches.

    Attributes:
        fields: of the expression; those that a shorthand stands for.
    """

    def __init__(self, expression: str, zone: str) -> None:
        self.zone = find_zone(zone)
        self.fields = _fields(expression)
        hours = self.fields.split()[-4]
        self._goes_by_wall_clock = not hours.startswith("*")

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first match after an aware datetime, in UTC; None if there is none."""
        moment = moment.astimezone(UTC)
        if self._goes_by_wall_clock:
            return self._next_by_wall_clock(moment)
        return self._next_by_elapsed_time(moment)

    def in_english(self) -> str:
        """Return what the expression means."""
        return CronSim(self.fields, datetime(FIRST_YEAR, 1, 1)).explain()  # noqa: DTZ001

    def _next_by_wall_clock(self, moment: datetime) -> datetime | None:
        for match in self._matches_after(moment.astimezone(self.zone).replace(tzinfo=None)):
            found = self._first_moment_of(match)
            if found > moment:  # not so in the second of two equal hours
                return found
        return None

    def _next_by_elapsed_time(self, moment: datetime) -> datetime | None:
        """Go from one change of the clock to the next: in between, local time is elapsed time."""
        offset = self._offset(moment)
        start = moment + offset
        while True:
            match = next(self._matches_after(start.replace(tzinfo=None)), None)
            if match is None:
                return None
            found = match.replace(tzinfo=UTC) - offset
            change = self._first_change(moment, found)
            if change is None:
                return found
            moment, offset = change, self._offset(change)
            start = change + offset - SECOND  # the change itself may match

    def _matches_after(self, local: datetime) -> Iterator[datetime]:
        """Yield the local times that match, without a time zone."""
        return CronSim(self.fields, local)

    def _first_moment_of(self, local: datetime) -> datetime:
        """Return the moment of a local time; the end of the gap if it does not exist."""
        moment = local.replace(tzinfo=self.zone).astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None) == local:
            return moment
        return self._first_change(moment - DAY, moment + DAY) or moment

    def _first_change(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first moment after `start`, until `end`, at which the clock is changed."""
        offset = self._offset(start)
        while start < end:
            later = min(start + DAY, end)
            if self._offset(later) != offset:
                return self._change_between(start.replace(microsecond=0), later)
            start = later
        return None

    def _change_between(self, start: datetime, end: datetime) -> datetime:
        """Return the first whole second after `start` with another offset than that of `start`."""
        offset = self._offset(start)
        low, high = 0, -((start - end) // SECOND)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(start + middle * SECOND) == offset:
                low = middle
            else:
                high = middle
        return start + high * SECOND

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()


def find_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: if there is none with this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        raise ValueError(
            f"There is no time zone {name!r}. Use a name such as 'Europe/Berlin' or 'UTC'. If "
            "this machine has no time zones, install the package tzdata."
        ) from None


@lru_cache(maxsize=1000)
def make_cron(expression: str, zone: str) -> Cron:
    """Return a `Cron`, made once."""
    return Cron(expression, zone)


@lru_cache(maxsize=1000)
def _fields(expression: Any) -> str:
    """Return the fields of an expression.

    Raises:
        ValueError: if it is none, or never matches.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise ValueError(f"A cron expression must be text such as '0 3 * * *', not {expression!r}.")
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise ValueError(
            f"The cron expression {expression[:40]!r}... is longer than {MAX_EXPRESSION_LENGTH} "
            "characters."
        )
    text = " ".join(expression.split())
    fields = SHORTHANDS.get(text.lower(), text)
    if fields.startswith("@"):
        raise ValueError(
            f"There is no shorthand {expression!r}. Choices are: {', '.join(SHORTHANDS)}."
        )
    try:
        calendar = CronSim(fields, datetime(FIRST_YEAR, 1, 1))  # noqa: DTZ001  # local time
    except (CronSimError, AssertionError, TypeError, ValueError) as error:
        if str(error) == BAD_DAY and _matches_in_some_month(fields):
            raise ValueError(
                f"The cron expression {expression!r} never matches: none of its months has that "
                "day."
            ) from None
        raise ValueError(
            f"{expression!r} is no cron expression: {_problem(str(error))}. Write five fields: "
            "minute, hour, day of the month, month, day of the week; or six, with the seconds "
            "first."
        ) from None
    if next(calendar, None) is None:
        raise ValueError(f"The cron expression {expression!r} never matches.")
    return fields


def _matches_in_some_month(fields: str) -> bool:
    """Return whether the fields are valid, if those of the months are left out."""
    *others, _, weekdays = fields.split()
    try:
        CronSim(" ".join([*others, "*", weekdays]), datetime(FIRST_YEAR, 1, 1))  # noqa: DTZ001  # local time
    except (CronSimError, AssertionError, TypeError, ValueError):
        return False
    return True


def _problem(text: str) -> str:
    """Return what cronsim complains of, as a part of a sentence."""
    name = re.fullmatch(r"Bad ([\w-]+)", text)
    if name:
        return f"its {name[1].replace('day-of-', 'day of the ')} is not valid"
    return "it has another number of fields" if "number" in text else "a field is not valid"
