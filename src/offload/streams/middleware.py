"""ASGI middleware that serves a stream without a thread, after Django has authorized it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.streams.sse import serve
from offload.streams.subscription import HANDOFF_KEY, Handoff
from offload.streams.websocket import StatusSocket, is_status_socket

if TYPE_CHECKING:
    from offload.streams.authorization import Application
    from offload.streams.sse import Event, Receive, Send


class StreamMiddleware:
    """ASGI middleware that serves streams and status WebSockets.

    Args:
        application: Django's ASGI application.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._socket = StatusSocket(application)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("method") == "GET":
            await self._respond(scope, receive, send)
        elif scope["type"] == "websocket" and is_status_socket(scope):
            await self._socket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _respond(self, scope: Event, receive: Receive, send: Send) -> None:
        """Send Django's response, or a stream in its place if the view accepts the handoff."""
        handoff = Handoff()
        replaced: Event | None = None

        async def send_unless_replaced(message: Event) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and handoff.matches(message):
                replaced = message
            elif replaced is None:
                await send(message)

        scope[HANDOFF_KEY] = handoff
        try:
            await self._application(scope, receive, send_unless_replaced)
            if replaced is not None and handoff.subscription is not None:
                await serve(handoff.subscription, replaced, receive, send)
        finally:
            handoff.close()
