"""Limits of a queue: how many of its jobs run at once, start in a time, and may wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from offload.policies.limits import Rate, require_number

NAMES = ("concurrency", "rate", "max_queued")
"""The limits in the words of settings and verbs."""


class QueueLimits(NamedTuple):
    """The limits of a queue; None or 0 for those that it does not have.

    Attributes:
        max_running: jobs that run at once, in all workers together.
        interval: microseconds between two starts, on average.
        burst: starts that may follow each other at once.
        max_queued: jobs that may wait in the queue; further ones are refused.
    """

    max_running: int | None = None
    interval: int = 0
    burst: int = 1
    max_queued: int | None = None

    @property
    def hold_up_jobs(self) -> bool:
        """Whether workers must look at the queue's row before they start its jobs."""
        return self.max_running is not None or self.interval > 0

    def replaced(self, override: str) -> QueueLimits:
        """Return the limits, replaced by those that an operator has set, as JSON text."""
        return self._replace(**_columns(override)) if override else self


def limits_in_force(
    settings: Mapping[str, QueueLimits], overrides: Mapping[str, str]
) -> dict[str, QueueLimits]:
    """Return the limits in the settings, of the queues that have limits in force.

    Args:
        settings: the limits of the settings, by queue.
        overrides: those that operators have set, as JSON text, by queue.
    """
    limits = {}
    for name in {*settings, *overrides}:
        of_settings = settings.get(name, QueueLimits())
        if of_settings.replaced(overrides.get(name, "")).hold_up_jobs:
            limits[name] = of_settings
    return limits


def columns_of(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits in the words of settings and verbs by the names of `QueueLimits`.

    Raises:
        TypeError: for an unknown name.
        ValueError: for a number that a queue cannot have.
    """
    columns: dict[str, Any] = {}
    for name, value in limits.items():
        if name not in NAMES:
            raise TypeError(f"A queue has no limit {name!r}. Choices are: {', '.join(NAMES)}.")
        if name == "rate":
            columns |= _rate_columns(value)
            continue
        if value is not None:
            require_number(name, value)
        columns["max_running" if name == "concurrency" else name] = value
    return columns


def parse_queue_limits(option: Any) -> dict[str, QueueLimits]:
    """Return the limits of OPTIONS["queue_limits"], by queue.

    Raises:
        TypeError, ValueError: for a bad value.
    """
    if not isinstance(option, Mapping):
        raise TypeError(f"it must be a dict of queues, not {option!r}.")
    parsed = {}
    for queue, limits in option.items():
        if not isinstance(limits, Mapping):
            raise TypeError(
                f"the limits of {queue!r} must be a dict such as "
                f'{{"max_queued": 10_000}}, not {limits!r}.'
            )
        try:
            parsed[queue] = QueueLimits(**columns_of(limits))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{queue!r}: {error}") from None
    return parsed


@lru_cache(maxsize=1024)
def _columns(override: str) -> dict[str, Any]:
    return dict(json.loads(override))


def _rate_columns(rate: str | Rate | None) -> dict[str, int]:
    if rate is None:
        return {"interval": 0, "burst": 1}
    if not isinstance(rate, Rate):
        rate = Rate(rate)
    if rate.key or rate.name:
        raise ValueError("rate: the rate of a queue has neither a key nor a name.")
    return {"interval": rate.interval, "burst": rate.starts_at_once}
