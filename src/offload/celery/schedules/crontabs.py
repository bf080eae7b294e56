"""When periodic tasks run: `crontab` and `schedule`, as Celery has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

__all__ = ["crontab", "schedule"]

type Cronspec = int | str | Iterable[int]
"""A number, several, or text such as "*/15", "mon-fri" or "0,8-17/2"."""


class Field(NamedTuple):
    """A field of a crontab.

    Attributes:
        name: the argument.
        first, last: the least and the greatest number.
        words: what stands for numbers, from the least on; three letters count.
    """

    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()

    def parse(self, spec: Cronspec) -> set[int]:
        """Return the numbers that a value means.

        Raises:
            ValueError: if it means none, or others than the field has.
        """
        if isinstance(spec, int):
            numbers = {spec}
        elif isinstance(spec, str):
            numbers = {number for part in spec.split(",") for number in self._part(part)}
        else:
            numbers = set(spec)
        if not numbers or not all(self.first <= number <= self.last for number in numbers):
            raise ValueError(
                f"crontab({self.name}={spec!r}) must be within {self.first} and {self.last}."
            )
        return numbers

    def text(self, numbers: Iterable[int]) -> str:
        """Return a field of a cron expression."""
        found = sorted(numbers)
        everything = range(self.first, self.last + 1)
        for step in range(1, len(everything) // 2 + 1):
            if found == list(everything[::step]):
                return "*" if step == 1 else f"*/{step}"
        return ",".join(_range_text(first, last) for first, last in _runs(found))

    def _part(self, part: str) -> Sequence[int]:
        matched = re.fullmatch(r"\s*(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?\s*", part)
        if matched is None or matched[3] == "0":
            raise ValueError(f"crontab({self.name}=...) cannot have {part!r}.")
        start, end, step = matched.groups()
        if start is None:
            numbers = [*range(self.first, self.last + 1)]
        else:
            low = self._number(start)
            high = low if end is None else self._number(end)
            numbers = [*range(low, high + 1)]
            if high < low:  # "22-6" is over midnight
                numbers = [*range(low, self.last + 1), *range(self.first, high + 1)]
        return numbers[:: int(step or 1)]

    def _number(self, text: str) -> int:
        if text.isdigit():
            return int(text)
        if text[:3].lower() not in self.words:
            raise ValueError(f"crontab({self.name}=...) cannot have {text!r}.")
        return self.first + self.words.index(text[:3].lower())


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_WEEK = Field("day_of_week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
DAY_OF_MONTH = Field("day_of_month", 1, 31)
MONTH_OF_YEAR = Field(
    "month_of_year",
    1,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
CRON_ORDER = (MINUTE, HOUR, DAY_OF_MONTH, MONTH_OF_YEAR, DAY_OF_WEEK)
"""The fields of a cron expression."""


class crontab:  # noqa: N801  # Celery's name
    """Times by the clock: all fields must match.

        crontab(minute=30, hour="7-9", day_of_week="mon-fri")

    Args:
        minute, hour, day_of_week, day_of_month, month_of_year: numbers, or text; Sunday is 0.
        kwargs: not used.

    Raises:
        ValueError: for numbers that a field does not have.
    """

    def __init__(
        self,
        minute: Cronspec = "*",
        hour: Cronspec = "*",
        day_of_week: Cronspec = "*",
        day_of_month: Cronspec = "*",
        month_of_year: Cronspec = "*",
        **kwargs: Any,
    ) -> None:
        self.minute = MINUTE.parse(minute)
        self.hour = HOUR.parse(hour)
        self.day_of_week = DAY_OF_WEEK.parse(day_of_week)
        self.day_of_month = DAY_OF_MONTH.parse(day_of_month)
        self.month_of_year = MONTH_OF_YEAR.parse(month_of_year)

    @classmethod
    def from_string(cls, crontab: str) -> crontab:
        """Return the crontab of a cron expression with five fields."""
        minute, hour, day_of_month, month_of_year, day_of_week = crontab.split()
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, crontab) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = " ".join(field.text(getattr(self, field.name)) for field in CRON_ORDER)
        return f"<crontab: {fields} (m/h/dM/MY/d)>"


class schedule:  # noqa: N801  # Celery's name
    """An interval.

    Args:
        run_every: seconds, or a timedelta.
        relative, kwargs: not used.
    """

    def __init__(
        self, run_every: float | timedelta | None = None, relative: bool = False, **kwargs: Any
    ) -> None:
        self.run_every = (
            run_every if isinstance(run_every, timedelta) else timedelta(seconds=run_every or 0)
        )

    def __repr__(self) -> str:
        return f"<freq: {self.run_every}>"


def timing_of(when: Any) -> tuple[str | None, timedelta | None]:
    """Return a cron expression, or an interval.

    Args:
        when: seconds, a timedelta, or a schedule, which may be Celery's own.

    Raises:
        ValueError: for times that no cron expression has.
    """
    if isinstance(when, int | float):
        return None, timedelta(seconds=when)
    if isinstance(when, timedelta):
        return None, when
    if all(hasattr(when, field.name) for field in CRON_ORDER):
        return _cron(when), None
    if isinstance(getattr(when, "run_every", None), timedelta):
        return None, when.run_every
    raise ValueError(
        f"The schedule must be a number of seconds, a timedelta or a crontab, not {when!r}."
    )


def _cron(when: Any) -> str:
    fields = {field.name: field.text(getattr(when, field.name)) for field in CRON_ORDER}
    if not any(fields[name].startswith("*") for name in ("day_of_month", "day_of_week")):
        raise ValueError(
            "Celery wants both day_of_month and day_of_week of a crontab to match, and a cron "
            "expression one of them. Give one of them, and let the task return on other days."
        )
    return " ".join(fields.values())


def _runs(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Yield the first and last number of each run without a gap."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
