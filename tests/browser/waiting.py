"""Waiting for what a page does, with a limit; the browser's messages come in meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

LIMIT = 20.0
PAUSE = 20
"""Milliseconds."""


def happens_within(page: Page, seconds: float, condition: Callable[[], object]) -> bool:
    """Return True when the condition holds, False if it does not in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        page.wait_for_timeout(PAUSE)
    return True


def wait_until(page: Page, condition: Callable[[], object], what: str) -> None:
    """Return when the condition holds; fail if it does not in time."""
    assert happens_within(page, LIMIT, condition), f"In {LIMIT} s it did not happen: {what}"
