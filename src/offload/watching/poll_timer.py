"""The times at which the watcher polls the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.notifier import Listener

MIN_POLL_INTERVAL = 0.002
"""Seconds between the first two polls without a hint; it doubles from poll to poll."""
MAX_POLL_INTERVAL = 0.25
"""Longest time between two polls without a hint, in seconds."""
MAX_RELIABLE_POLL_INTERVAL = 1.0
"""The same for a listener that reports every change."""
SLOW_QUERY_SECONDS = 0.002
"""A query that takes longer is followed by a cooldown."""
COOLDOWN_FACTOR = 4
"""Cooldown after a slow query, in multiples of its time above SLOW_QUERY_SECONDS."""
MAX_COOLDOWN_SECONDS = 0.1


class PollTimer:
    """When to poll: at a hint, and at growing intervals without one.

    Args:
        listener: receives the hints.
        clock: monotonic time in seconds.
    """

    def __init__(self, listener: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._clock = clock
        self._interval = MIN_POLL_INTERVAL
        self._next_poll_at = 0.0
        self._cooldown_until = 0.0

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._due_at

    def timeout(self) -> float:
        """Return the seconds until the next poll, or until `Listener.changed` is to be called."""
        return max(0.0, min(self._due_at - self._clock(), self._listener.check_interval))

    def restart(self) -> None:
        """Poll at once, then often: workers may not send hints to the new subscriber yet."""
        self._next_poll_at = 0.0
        self._interval = MIN_POLL_INTERVAL

    def expect_change(self) -> None:
        """Poll at once, and a little later for hints that the sender may have left out."""
        self._next_poll_at = 0.0
        self._interval = min(self._listener.repoll_delay, self._max_interval)

    def polled(self, *, took: float) -> None:
        """Schedule the next poll after one that took `took` seconds."""
        now = self._clock()
        # The cooldown leaves time to other threads, however many jobs are watched.
        cooldown = COOLDOWN_FACTOR * max(0.0, took - SLOW_QUERY_SECONDS)
        self._cooldown_until = now + min(cooldown, MAX_COOLDOWN_SECONDS)
        self._next_poll_at = now + self._interval
        self._interval = min(2 * self._interval, self._max_interval)

    @property
    def _due_at(self) -> float:
        return max(self._next_poll_at, self._cooldown_until)

    @property
    def _max_interval(self) -> float:
        if self._listener.poll_interval is None:
            return MAX_POLL_INTERVAL
        return MAX_RELIABLE_POLL_INTERVAL
