"""The hints that a worker sends about jobs that it changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from offload.notifier import Hint
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.notifier import Notifier

SUBSCRIPTION_SECONDS = 60.0
"""After `Hint.WATCH`, subscribers are assumed to exist for this long."""
GUESS_INTERVAL = 0.25
"""Seconds between two hints as long as no process has said that it has subscribers: those that had
some before this worker listened poll as often without hints."""
SOON_SECONDS = 0.01
"""Delay of the hint for started jobs: short jobs finish meanwhile, and one hint serves both."""


class ChangeHints:
    """Notifies other processes after this worker changed jobs.

    Watchers get `Hint.CHANGED`, but only while some process may have subscribers.

    Args:
        notifier: sends the hints.
        clock: returns seconds.
    """

    def __init__(self, notifier: Notifier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        # A process may have subscribed before this worker listened.
        self._subscribed_until = clock() + SUBSCRIPTION_SECONDS
        self._is_guess = True
        self._next_at = 0.0
        """No hint is sent before this time."""
        self.due_at = NEVER

    def remember_subscribers(self) -> None:
        """Send hints for a while, as some process has subscribers."""
        self._subscribed_until = self._clock() + SUBSCRIPTION_SECONDS
        self._is_guess = False
        self._next_at = 0.0

    def jobs_made_ready(self) -> None:
        """Notify other workers, which may have capacity for the jobs, and subscribers."""
        self._notifier.notify(Hint.WORK)
        self.jobs_changed()

    def jobs_changed(self) -> None:
        """Notify subscribers: at once, unless they are a guess and were notified just now."""
        now = self._clock()
        if now >= self._subscribed_until:
            return
        if now < self._next_at:
            self.due_at = self._next_at
        else:
            self._send(now)

    def jobs_changed_soon(self) -> None:
        """Notify subscribers in a moment, or together with the next `jobs_changed`."""
        now = self._clock()
        if now < self._subscribed_until:
            self.due_at = min(self.due_at, max(now + SOON_SECONDS, self._next_at))

    def run_if_due(self, now: float) -> None:
        """Send the delayed hint if its time has come, even if no more subscribers are assumed."""
        if now >= self.due_at:
            self._send(now)

    def flush(self) -> None:
        """Send the delayed hint now, if there is one: the worker exits."""
        if self.due_at < NEVER:
            self._send(self._clock())

    def _send(self, now: float) -> None:
        self.due_at = NEVER
        if self._is_guess:
            self._next_at = now + GUESS_INTERVAL
        self._notifier.notify(Hint.CHANGED)
