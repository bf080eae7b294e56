"""Pauses after slow queries, so that they take only a small part of a worker's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW_SECONDS = 0.05
"""An operation that takes longer is slow."""
COOLDOWN_FACTOR = 10
"""The pause lasts this many times as long as the operation took."""
MIN_COOLDOWN_SECONDS = 1.0


class Cooldown:
    """The pause before a slow operation is repeated; none after a quick one.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over_at = float("-inf")

    @property
    def is_over(self) -> bool:
        return self._clock() >= self._over_at

    @property
    def remaining(self) -> float:
        """Seconds until the pause is over."""
        return max(0.0, self._over_at - self._clock())

    def start(self, took: float) -> None:
        """Start the pause after an operation that took this many seconds."""
        pause = 0.0
        if took > SLOW_SECONDS:
            pause = max(MIN_COOLDOWN_SECONDS, COOLDOWN_FACTOR * took)
        self._over_at = self._clock() + pause

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time the block, and start the pause after it."""
        started_at = self._clock()
        yield
        self.start(self._clock() - started_at)
