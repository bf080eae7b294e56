"""What takes long is done seldom: so it takes a small part of an engine's time, however slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW = 0.05
"""Seconds from which something takes long."""
TIMES = 10
"""How many times as long as it took something rests."""
LEAST = 1.0
"""Seconds that something rests at least, if it took long."""


class Cooldown:
    """The time for which something is not to be done again.

    Args:
        clock: returns seconds; another one in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over_at = float("-inf")

    @property
    def is_over(self) -> bool:
        return self._clock() >= self._over_at

    @property
    def left(self) -> float:
        """The seconds until it is over."""
        return max(0.0, self._over_at - self._clock())

    def begin(self, took: float) -> None:
        """Rest after something that took so many seconds; not at all, if it was quick."""
        self._over_at = self._clock() + (max(LEAST, TIMES * took) if took > SLOW else 0.0)

    @contextmanager
    def after(self) -> Iterator[None]:
        """Rest after what is done in the block."""
        begun = self._clock()
        yield
        self.begin(self._clock() - begun)
