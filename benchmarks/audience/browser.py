"""A browser whose pages note what they do: Debian's Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
NOTICE = Path(__file__).with_name("notice.js")
PATIENCE = 60_000
"""Milliseconds."""


def chromium() -> str | None:
    """Return where a browser is, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Keep a browser for a `with` block, in which Django's ORM cannot be used."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # only where it is wanted

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium())
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page in a context of its own, for a `with` block.

    Args:
        browser: in which it opens.
        url: what it shows.
        slower: how many times slower its processor is.
    """

    def __init__(self, browser: Browser, url: str, slower: int = 1) -> None:
        self._context = browser.new_context()
        self._context.set_default_timeout(PATIENCE)
        self._context.add_init_script(path=NOTICE)
        self.page = self._context.new_page()
        self._tools = self._context.new_cdp_session(self.page)
        self._tools.send("Performance.enable")
        self.page.goto(url)
        if slower > 1:
            self._tools.send("Emulation.setCPUThrottlingRate", {"rate": slower})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def wait_for(self, expression: str) -> Any:
        """Return what an expression gives, once that is true."""
        return self.page.wait_for_function(expression).json_value()

    def rest(self, seconds: float) -> None:
        """Let the page do what it does."""
        self.page.wait_for_timeout(1000 * seconds)

    def look(self) -> Look:
        """Return what the browser has counted so far."""
        told = self._tools.send("Performance.getMetrics")["metrics"]
        metrics = {each["name"]: each["value"] for each in told}
        # What observers are told comes after the frame.
        noticed = self.page.evaluate("new Promise((tell) => setTimeout(() => tell(noticed), 100))")
        return Look(
            states=noticed["states"],
            layouts=metrics["LayoutCount"],
            layout_ms=1000 * metrics["LayoutDuration"],
            forced_ms=noticed["forced"],
            busy_ms=1000 * metrics["TaskDuration"],
            shift=noticed["shift"],
            longest_ms=max(noticed["interactions"].values(), default=0.0),
        )


@dataclass(frozen=True)
class Look:
    """What a page has done since it was opened.

    Attributes:
        states: of jobs that came.
        layouts: that were calculated.
        layout_ms: how long that took.
        forced_ms: how long scripts waited for a layout that they forced.
        busy_ms: how long the main thread worked.
        shift: of the layout, that no input explains.
        longest_ms: the longest interaction; 0 if each took less than 16 ms.
    """

    states: float
    layouts: float
    layout_ms: float
    forced_ms: float
    busy_ms: float
    shift: float
    longest_ms: float

    def since(self, before: Look) -> Look:
        """Return what has been done since another look; the longest interaction is of all time."""
        differences = {
            name: value - getattr(before, name)
            for name, value in vars(self).items()
            if name != "longest_ms"
        }
        return Look(**differences, longest_ms=self.longest_ms)
