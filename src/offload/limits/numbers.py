"""The numbers of a limit in the words of a task's options."""

from __future__ import annotations

from typing import TypedDict

from offload.policies import Rate
from offload.policies.limits import UNITS, require_number
from offload.store.limit_records import LimitNumbers

MICROSECONDS = 1_000_000


class Numbers(TypedDict, total=False):
    """Numbers of a limit that an operator sets; those left out stay as they are.

    Attributes:
        concurrency: jobs of one key that run at once.
        total: jobs of all keys that run at once.
        rate: starts of one key; text such as "100/m", or a `Rate` with its burst.
        total_rate: as `rate`, of all keys.
    """

    concurrency: int
    total: int
    rate: str | Rate
    total_rate: str | Rate


def columns_of(numbers: Numbers) -> dict[str, int]:
    """Return numbers by the names of `LimitNumbers`.

    Raises:
        TypeError: for an unknown number.
        ValueError: for one that a task could not have.
    """
    unknown = sorted(numbers.keys() - Numbers.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"A limit has no {unknown[0]!r}. Choices are: {', '.join(Numbers.__annotations__)}."
        )
    columns: dict[str, int] = {}
    if "concurrency" in numbers:
        require_number("concurrency", numbers["concurrency"])
        columns["max_running"] = numbers["concurrency"]
    if "total" in numbers:
        require_number("total", numbers["total"])
        columns["total"] = numbers["total"]
    if "rate" in numbers:
        columns |= _rate_columns(numbers["rate"], "")
    if "total_rate" in numbers:
        columns |= _rate_columns(numbers["total_rate"], "total_")
    return columns


def describe(numbers: LimitNumbers) -> dict[str, int | str]:
    """Return the numbers that a limit has, by the names of the options."""
    words: dict[str, int | str] = {}
    if numbers.max_running is not None:
        words["concurrency"] = numbers.max_running
    elif numbers.max_running_path:
        words["concurrency"] = numbers.max_running_path
    if numbers.total is not None:
        words["total"] = numbers.total
    if numbers.interval:
        words["rate"] = rate_text(numbers.interval)
        words["burst"] = numbers.burst
    if numbers.total_interval:
        words["total_rate"] = rate_text(numbers.total_interval)
        words["total_burst"] = numbers.total_burst
    if numbers.weight_path or numbers.weight != 1:
        words["weight"] = numbers.weight_path or numbers.weight
    return words


def rate_text(interval: int) -> str:
    """Return the time between two starts as a rate, such as "100/m"."""
    for unit, seconds in UNITS.items():
        count = round(seconds * MICROSECONDS / interval)
        if count and Rate(count, per=seconds).interval == interval:
            return f"{count}/{unit}"
    return f"one in {interval / MICROSECONDS:g} s"


def _rate_columns(rate: str | Rate, prefix: str) -> dict[str, int]:
    if not isinstance(rate, Rate):
        rate = Rate(rate)
    if rate.key or rate.name:
        raise ValueError(
            "A rate that an operator sets has no key and no name: those in the code stay."
        )
    return {f"{prefix}interval": rate.interval, f"{prefix}burst": rate.starts_at_once}
