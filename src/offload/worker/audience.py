"""Who watches jobs: told when some change, as long as somebody does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from offload.notifier import Hint

if TYPE_CHECKING:
    from offload.notifier import Notifier

WATCHED = 60.0
"""Seconds for which it is remembered that somebody watches."""


class Audience:
    """Args:
    notifier: rings at those who watch.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._until = time.monotonic() + WATCHED  # somebody may have begun before we listened

    def remember(self) -> None:
        """Remember that somebody watches."""
        self._until = time.monotonic() + WATCHED

    def tell(self) -> None:
        """Tell that jobs have changed, if somebody may watch."""
        if time.monotonic() < self._until:
            self._notifier.ring(Hint.CHANGED)
