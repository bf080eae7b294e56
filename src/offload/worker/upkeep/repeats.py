"""When to send messages again that may have had no effect."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

FIRST_DELAY = 1.0
"""Seconds until messages are sent again if nothing has started meanwhile."""


class _Repeat(NamedTuple):
    """The last messages about something."""

    front: Hashable
    """What would start next, when they were sent."""
    again_at: float
    """When to send them again (monotonic clock)."""
    delay: float


class Repeats:
    """Repeats messages at once while they have an effect, and less and less often otherwise.

    So messages do not pile up at a broker whose workers are busy or stopped.

    Args:
        longest: seconds between two messages without an effect, at most.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._known: dict[Hashable, _Repeat] = {}

    def due[Key: Hashable](self, fronts: Mapping[Key, Hashable], now: float) -> set[Key]:
        """Return about what to send messages now; forget everything else.

        Args:
            fronts: what would start next of each; it changes when something starts.
            now: seconds of the caller's clock.
        """
        known: dict[Hashable, _Repeat] = {}
        due: set[Key] = set()
        for key, front in fronts.items():
            last = self._known.get(key)
            if last is not None and last.front == front and now < last.again_at:
                known[key] = last
                continue
            delay = FIRST_DELAY
            if last is not None and last.front == front:
                delay = min(2 * last.delay, self._longest)
            known[key] = _Repeat(front, now + delay, delay)
            due.add(key)
        self._known = known
        return due

    def clear(self) -> None:
        """Forget all messages, as they did not arrive."""
        self._known.clear()
