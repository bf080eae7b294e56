"""Limits of a task: jobs that run at once, starts in a time, and turns among keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from offload.durations import MAX_SECONDS, seconds
from offload.policies.keys import Key, require_key, require_name

MAX_NUMBER = 1_000_000
"""The largest number of jobs in a limit."""
MAX_WEIGHT = 1000
"""The largest weight of a key."""

type Weight = int | str | Callable[..., int]
"""A whole number, or a callable that takes the task's arguments and returns it, or its path."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds of the units of a rate."""
MIN_BURST_SECONDS = 0.1
"""Seconds of a rate whose starts are its default burst."""

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_RATE = re.compile(r"\s*([0-9]+)\s*/\s*([smhd])\s*")


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many jobs of a task run at once, in all workers together.

        @task(concurrency=Concurrency(5, key="{customer_id}", total=50))

    Attributes:
        maximum: jobs that run at once: of each key, or of all without `key`. Or the dotted path of
            a callable, which takes the task's arguments and returns the number for their key; with
            0 none of its jobs starts.
        key: divides the jobs; a format string over the task's arguments, with `{tenant}` and
            `{owner}` of the job, or a callable that takes the arguments, defaults included.
        total: jobs of all keys that run at once.
        name: shares the limit among all tasks that give the same name.
    """

    maximum: int | str
    key: Key = ""
    total: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _require_maximum(self.maximum)
        if self.total is not None:
            require_number("Concurrency: total", self.total)
        require_key("Concurrency", self.key)
        require_name("Concurrency", self.name)
        if not self.key and isinstance(self.maximum, str):
            raise ValueError(
                f"Concurrency: {self.maximum!r} needs a key, whose number it returns, such as "
                'key="{user_id}".'
            )
        if not self.key and self.total is not None:
            raise ValueError(
                "Concurrency: total needs a key. Without one, the first number is the total."
            )


@dataclass(frozen=True, slots=True)
class Rate:
    """How many jobs of a task start in a time, in all workers together.

        @task(rate=Rate("100/m", key="{customer_id}"))

    In any time t, at most `burst` + rate * t jobs start. So at most 100 in *any* minute is
    `Rate("90/m", burst=10)`.

    Attributes:
        limit: as text, such as "100/m" with the unit s, m, h or d; or a number, with `per`.
        per: the time in which that number of jobs starts.
        key: as for `Concurrency`.
        burst: starts that may follow each other at once; by default those of a tenth of a second,
            at least one.
        name: as for `Concurrency`.
    """

    limit: str | int
    per: timedelta | float | None = None
    key: Key = ""
    burst: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _parse_rate(self.limit, self.per)
        if self.burst is not None:
            require_number("Rate: burst", self.burst)
        if self.starts_at_once * self.interval > MAX_SECONDS * 1_000_000:
            raise ValueError(f"Rate: {self.starts_at_once} starts take more than 100 years.")
        require_key("Rate", self.key)
        require_name("Rate", self.name)

    @property
    def interval(self) -> int:
        """Microseconds between two starts, on average; rounded up, so that the rate is kept."""
        count, per = _parse_rate(self.limit, self.per)
        return -(-round(per * 1_000_000) // count)

    @property
    def starts_at_once(self) -> int:
        """The burst, or its default."""
        if self.burst is not None:
            return self.burst
        return max(1, int(MIN_BURST_SECONDS * 1_000_000 / self.interval))


@dataclass(frozen=True, slots=True)
class Fair:
    """Lets keys take turns: a job of the key that was served longest ago is next.

        @task(fair="{tenant}")

    Attributes:
        key: as for `Concurrency`.
        weight: how many jobs a key starts in one turn: a whole number, or a callable that takes
            the task's arguments and returns it, or the dotted path of one.
    """

    key: Key
    weight: Weight = 1

    def __post_init__(self) -> None:
        _require_weight(self.weight)
        require_key("Fair", self.key)
        if not self.key:
            raise ValueError('Fair needs a key, such as Fair("{tenant}").')


def _parse_rate(limit: Any, per: Any) -> tuple[int, float]:
    """Return the number of starts, and the seconds in which they happen."""
    match = _RATE.fullmatch(limit) if isinstance(limit, str) else None
    if match and per is None and _is_number(int(match[1])):
        return int(match[1]), UNITS[match[2]]
    if _is_number(limit) and per is not None:
        try:
            duration = seconds(per)
        except (TypeError, ValueError):
            duration = 0.0
        if duration * 1_000_000 >= limit:
            return limit, duration
    raise ValueError(
        'A rate is text such as "100/m", with one of the units s, m, h and d, or a number from 1 '
        f"to {MAX_NUMBER:,} with per=timedelta(...), at most a million starts a second, not "
        f"{limit!r} with per={per!r}."
    )


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_NUMBER


def require_number(name: str, value: Any) -> None:
    """Raise ValueError unless a limit can have a number of jobs."""
    if not _is_number(value):
        raise ValueError(f"{name} must be a whole number from 1 to {MAX_NUMBER:,}, not {value!r}.")


def _require_maximum(value: Any) -> None:
    if callable(value):
        path = f"{value.__module__}.{getattr(value, '__qualname__', '...')}"
        raise TypeError(
            f'Concurrency: give a callable by its path, "{path}", which is imported when a job is '
            f"enqueued, not {value!r}."
        )
    if not isinstance(value, str):
        require_number("Concurrency: the first argument", value)
    elif not _PATH.fullmatch(value):
        raise ValueError(
            "Concurrency: the first argument must be a whole number, or the dotted path of a "
            f'callable such as "shop.tariffs.slots", not {value!r}.'
        )


def _require_weight(value: Any) -> None:
    if isinstance(value, str):
        if not _PATH.fullmatch(value):
            raise ValueError(
                "Fair: weight must be a whole number, a callable, or the dotted path of one such "
                f'as "shop.tariffs.weight", not {value!r}.'
            )
    elif callable(value):
        if inspect.iscoroutinefunction(value):
            raise TypeError(f"Fair: weight must be a callable written with def, not {value!r}.")
    elif type(value) is not int or not 1 <= value <= MAX_WEIGHT:
        raise ValueError(
            f"Fair: weight must be a whole number from 1 to {MAX_WEIGHT:,}, not {value!r}."
        )
