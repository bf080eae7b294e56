"""Backoff policies: the delay before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from offload.durations import MAX_SECONDS, seconds

if TYPE_CHECKING:
    from django.tasks import TaskResult

type Backoff = Callable[[BaseException, TaskResult[Any, Any]], float | timedelta]
"""From the exception and the result so far to the delay before the next attempt."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """Backoff of `base * factor ** (attempt - 1)` seconds, at most `maximum`, with full jitter.

    Full jitter draws from 0 up to that bound, so that jobs that failed together are not retried
    together. Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).

    Attributes:
        base: bound of the first delay, in seconds.
        maximum: bound of every delay, in seconds.
        factor: growth of the bound from one attempt to the next.
        jitter: whether to draw the delay from 0 to the bound; False waits for the bound.
    """

    base: float = 2.0
    maximum: float = 600.0
    factor: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        has_valid_bounds = 0 < self.base <= MAX_SECONDS and 0 < self.maximum <= MAX_SECONDS
        if not (has_valid_bounds and self.factor >= 1):
            raise ValueError(f"{self}: base and maximum must be > 0 and factor >= 1.")

    def __call__(self, exception: BaseException, result: TaskResult[Any, Any]) -> float:  # noqa: ARG002
        return self.delay(result.attempts)

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt; 1 is the first."""
        try:
            bound = min(self.maximum, self.base * self.factor ** (attempt - 1))
        except OverflowError:
            bound = self.maximum
        return random.uniform(0, bound) if self.jitter else bound  # noqa: S311  # no secret


@dataclass(frozen=True, slots=True)
class Fixed:
    """Backoff of the same delay before every further attempt.

    Attributes:
        delay: seconds, or a timedelta.
    """

    delay: float | timedelta

    def __post_init__(self) -> None:
        seconds(self.delay)

    def __call__(self, exception: BaseException, result: TaskResult[Any, Any]) -> float:  # noqa: ARG002
        return seconds(self.delay)


DEFAULT_BACKOFF = Exponential()
