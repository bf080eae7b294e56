"""The tabs of a browser: which of them stream, and which are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request


class Streams:
    """The streams that are open in a browser."""

    def __init__(self, context: BrowserContext) -> None:
        self.open: set[Request] = set()
        context.on("request", self._begin)
        context.on("requestfinished", self._end)
        context.on("requestfailed", self._end)

    def _begin(self, request: Request) -> None:
        if "/tasks/events/" in request.url:
            self.open.add(request)

    def _end(self, request: Request) -> None:
        self.open.discard(request)

    @property
    def leader(self) -> Page:
        (request,) = self.open
        return request.frame.page


def hide(page: Page, *, hidden: bool) -> None:
    """Make the page believe that it is hidden, as headless Chromium never does by itself."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
