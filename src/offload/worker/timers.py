"""Duties of the worker's loop: calls at intervals, besides claims and outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

NEVER = float("inf")
"""The time at which nothing is due."""


class Duty(Protocol):
    """Something that the worker's loop does whenever it is due."""

    @property
    def due_at(self) -> float:
        """When it is due next (monotonic clock)."""

    def run_if_due(self, now: float) -> None:
        """Do it if it is due at `now`."""


@dataclass(slots=True)
class Timer:
    """A duty that calls a function at intervals.

    Attributes:
        perform: returns the seconds until it is due again; None for `interval`.
        interval: seconds between two calls, give or take 10 %.
        due_at: when it is due next (monotonic clock); a new timer is due at once.
    """

    perform: Callable[[], float | None]
    interval: float
    due_at: float = 0.0

    def make_due(self) -> None:
        self.due_at = 0.0

    def run_if_due(self, now: float) -> None:
        """Call the function if it is due.

        The next call is scheduled first, so that a call that raises is repeated.
        """
        if now < self.due_at:
            return
        self.due_at = now + jittered(self.interval)
        delay = self.perform()
        if delay is not None:
            self.due_at = now + min(delay, self.interval)


def jittered(seconds: float) -> float:
    """Change an interval by up to 10 %: workers that started together drift apart."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311  # no secret
