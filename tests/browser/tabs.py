"""The tabs of a browser: their live connections, and their visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request, WebSocket

LIVE_TRANSPORTS = ("stream", "websocket")
TRANSPORTS = (*LIVE_TRANSPORTS, "poll")


class LiveConnections:
    """The streams and WebSockets that are open in a browser.

    Attributes:
        open: the page that opened each.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.open: dict[Request | WebSocket, Page] = {}
        context.on("request", self._add_stream)
        context.on("requestfinished", self._discard)
        context.on("requestfailed", self._discard)
        context.on("page", self._observe)
        for page in context.pages:
            self._observe(page)

    def _observe(self, page: Page) -> None:
        def add_socket(socket: WebSocket) -> None:
            self.open[socket] = page
            socket.on("close", self._discard)

        page.on("websocket", add_socket)
        page.on("close", self._discard_all)

    def _add_stream(self, request: Request) -> None:
        if "/tasks/events/" in request.url:
            self.open[request] = request.frame.page

    def _discard(self, connection: Request | WebSocket) -> None:
        self.open.pop(connection, None)

    def _discard_all(self, page: Page) -> None:
        self.open = {item: owner for item, owner in self.open.items() if owner is not page}

    @property
    def pages(self) -> list[Page]:
        """The pages that have a connection, once for each."""
        return list(self.open.values())

    @property
    def leader(self) -> Page:
        """The only page that has a connection."""
        (page,) = self.pages
        return page


def set_hidden(page: Page, *, hidden: bool) -> None:
    """Make the page believe that it is hidden, or visible; headless Chromium never hides one."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
