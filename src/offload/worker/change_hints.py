"""Who watches jobs: told when some change, as long as somebody does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from offload.notifier import Hint
from offload.worker.timers import Timer

if TYPE_CHECKING:
    from offload.notifier import Notifier

NEVER = float("inf")
WATCHED = 60.0
"""Seconds for which it is remembered that somebody watches."""
SOON = 0.01
"""Seconds until it is told that jobs have begun: the end of a short one comes before that."""


class ChangeHints:
    """Args:
    notifier: rings at those who watch.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._until = time.monotonic() + WATCHED  # somebody may have begun before we listened
        self.duty = Timer(self.tell, NEVER, due_at=NEVER)
        """Tells what was to be told soon."""

    def remember(self) -> None:
        """Remember that somebody watches."""
        self._until = time.monotonic() + WATCHED

    def tell(self) -> None:
        """Tell that jobs have changed, if somebody may watch."""
        self.duty.due_at = NEVER
        if self._is_there():
            self._notifier.notify(Hint.CHANGED)

    def tell_soon(self) -> None:
        """Tell it in a moment, or with what is told before that: it is nothing to wait for."""
        if self._is_there():
            self.duty.hasten(SOON)

    def _is_there(self) -> bool:
        return time.monotonic() < self._until
