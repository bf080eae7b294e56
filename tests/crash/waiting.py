"""Waiting for a condition in another process, with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LIMIT = 45.0
"""Seconds; far more than anything takes on a machine that does nothing else."""
PAUSE = 0.02


def happens_within(seconds: float, condition: Callable[[], object]) -> bool:
    """Return True when the condition holds, False if it does not in time."""
    give_up_at = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        pause.wait(PAUSE)
    return True


def wait_until(condition: Callable[[], object], what: str, seconds: float = LIMIT) -> None:
    """Return when the condition holds; fail if it does not in time."""
    assert happens_within(seconds, condition), f"In {seconds} s it did not happen: {what}"
