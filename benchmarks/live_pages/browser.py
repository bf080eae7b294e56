"""Chromium without a window, and the metrics of its pages."""

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
SCRIPT = Path(__file__).with_name("page_metrics.js")
TIMEOUT_MILLISECONDS = 60_000


def chromium() -> str | None:
    """Return the path of an installed browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Keep a browser open for a `with` block, in which Django's ORM cannot be used."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # optional

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium())
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page in a browser context of its own, closed at the end of a `with` block.

    Args:
        browser: the browser.
        url: the page.
        slowdown: factor by which the processor is slowed.
    """

    def __init__(self, browser: Browser, url: str, slowdown: int = 1) -> None:
        self._context = browser.new_context()
        self._context.set_default_timeout(TIMEOUT_MILLISECONDS)
        self._context.add_init_script(path=SCRIPT)
        self.page = self._context.new_page()
        self._devtools = self._context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable")
        self.page.goto(url)
        if slowdown > 1:
            self._devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        return self.page.wait_for_function(expression).json_value()

    def wait(self, seconds: float) -> None:
        """Wait while the page keeps running."""
        self.page.wait_for_timeout(1000 * seconds)

    def metrics(self) -> PageMetrics:
        """Return the metrics of the page since it was opened."""
        values = self._devtools.send("Performance.getMetrics")["metrics"]
        counters = {each["name"]: each["value"] for each in values}
        # Performance observers are called after the frame.
        observed = self.page.evaluate(
            "new Promise((resolve) => setTimeout(() => resolve(pageMetrics), 100))"
        )
        return PageMetrics(
            updates=observed["updates"],
            layouts=counters["LayoutCount"],
            layout_ms=1000 * counters["LayoutDuration"],
            forced_ms=observed["forced"],
            busy_ms=1000 * counters["TaskDuration"],
            shift=observed["shift"],
            longest_ms=max(observed["interactions"].values(), default=0.0),
        )


@dataclass(frozen=True)
class PageMetrics:
    """Metrics of a page since it was opened.

    Attributes:
        updates: received states of jobs.
        layouts: number of layouts.
        layout_ms: duration of all layouts.
        forced_ms: time that scripts waited for layouts which they forced.
        busy_ms: time that the main thread worked.
        shift: layout shift without input.
        longest_ms: the longest interaction; 0 if each took less than 16 ms.
    """

    updates: float
    layouts: float
    layout_ms: float
    forced_ms: float
    busy_ms: float
    shift: float
    longest_ms: float

    def since(self, before: PageMetrics) -> PageMetrics:
        """Return the differences to earlier metrics, except for the longest interaction."""
        differences = {
            name: value - getattr(before, name)
            for name, value in vars(self).items()
            if name != "longest_ms"
        }
        return PageMetrics(**differences, longest_ms=self.longest_ms)
