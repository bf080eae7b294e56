"""When a watch looks at the database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.notifier import Listener

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.25
"""Seconds between two looks without a hint: from the first to the second, doubling."""
LONGEST_CALM = 1.0
"""Seconds between two looks where the database itself tells of every change."""
SHORT = 0.002
SHARE = 4
LONGEST_BREATH = 0.1
"""After a look that took longer than the first, a pause of so many times what it took more."""


class PollTimer:
    """When to look: at a hint, and by the clock, as far as hints cannot be relied on."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._pause = FIRST_PAUSE
        self._look_at = self._breath_until = 0.0

    def is_due(self, now: float) -> bool:
        return now >= max(self._look_at, self._breath_until)

    def patience(self) -> float:
        """Return the seconds until the next look, or until `changed` should be asked."""
        left = max(self._look_at, self._breath_until) - time.monotonic()
        return max(0.0, min(left, self._listener.check_interval))

    def begin(self) -> None:
        """Look at once, and soon again: an engine may not know yet that somebody watches."""
        self._look_at, self._pause = 0.0, FIRST_PAUSE

    def hint(self) -> None:
        """Look at once, and again if hints that followed closely may have been left out."""
        self._look_at = 0.0
        self._pause = min(self._listener.repoll_delay, self._longest)

    def looked(self, *, took: float) -> None:
        """Plan the next look."""
        now = time.monotonic()
        # However many jobs are watched, and however fast they change, other threads get on.
        self._breath_until = now + min(SHARE * max(0.0, took - SHORT), LONGEST_BREATH)
        self._look_at = now + self._pause
        self._pause = min(2 * self._pause, self._longest)

    @property
    def _longest(self) -> float:
        return LONGEST_PAUSE if self._listener.poll_interval is None else LONGEST_CALM
