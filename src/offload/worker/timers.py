"""Something an engine does now and then beside running jobs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Timer:
    """Something to do now and then.

    Attributes:
        perform: does it, and returns the seconds until it is due again; None for `interval`.
        interval: seconds between two times.
    """

    perform: Callable[[], float | None]
    interval: float
    due_at: float = field(default_factory=time.monotonic)

    def hasten(self, delay: float = 0.0) -> None:
        """Make it due in `delay` seconds at the latest."""
        self.due_at = min(self.due_at, time.monotonic() + delay)

    def run_if_due(self, now: float) -> None:
        """Perform it if it is time. It is put off first, so that one that fails is tried again."""
        if now < self.due_at:
            return
        # Engines that started together shall not work at the same moments for ever.
        self.due_at = now + self.interval * random.uniform(0.9, 1.1)  # noqa: S311  # no secret
        delay = self.perform()
        if delay is not None:
            self.due_at = now + min(delay, self.interval)
