"""Waiting for a condition in another process or in a browser, with a timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIMEOUT_SECONDS = 90.0
"""Far more than anything takes on an idle machine, and less than pytest gives a test."""
PAUSE_SECONDS = 0.02


def happens_within(
    seconds: float, condition: Callable[[], object], *, page: Page | None = None
) -> bool:
    """Return whether the condition becomes true in time.

    Args:
        seconds: how long to wait.
        condition: checked every `PAUSE_SECONDS`.
        page: handle this browser page's events meanwhile.
    """
    give_up_at = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        if page is None:
            pause.wait(PAUSE_SECONDS)
        else:
            page.wait_for_timeout(1_000 * PAUSE_SECONDS)
    return True


def wait_until(
    condition: Callable[[], object],
    what: str,
    seconds: float = TIMEOUT_SECONDS,
    *,
    page: Page | None = None,
) -> None:
    """Wait until the condition is true; fail if it is not in time.

    Args:
        condition: checked every `PAUSE_SECONDS`.
        what: the condition in words, for the failure.
        seconds: how long to wait.
        page: handle this browser page's events meanwhile.
    """
    is_true = happens_within(seconds, condition, page=page)
    assert is_true, f"Timed out after {seconds:g} s waiting until {what}"
