"""ASGI middleware that serves streams and holds requests without threads, beside Django."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.live.handoff import HANDOFF_KEY, Handoff
from offload.live.long_poll import HeldRequest
from offload.streams.held_requests import respond_later
from offload.streams.kept_receive import KeptReceive
from offload.streams.sse import serve
from offload.streams.subscription import Subscription
from offload.streams.websocket import StatusSocket, is_status_socket

if TYPE_CHECKING:
    from offload.streams.authorization import Application
    from offload.streams.sse import Event, Receive, Send


class StreamMiddleware:
    """ASGI middleware that serves streams and status WebSockets, and holds requests.

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
        """Send Django's response, or what the view has handed over in its place."""
        handoff = Handoff()
        kept = KeptReceive(receive)
        replaced: Event | None = None

        async def send_unless_replaced(message: Event) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and handoff.matches(message):
                replaced = message
            elif replaced is None:
                await send(message)

        try:
            offered = {**scope, HANDOFF_KEY: handoff}
            await self._application(offered, kept, send_unless_replaced)
            if replaced is None:
                return
            if isinstance(handoff.accepted, Subscription):
                await serve(handoff.accepted, replaced, kept, send)
            elif isinstance(handoff.accepted, HeldRequest):
                await respond_later(handoff.accepted, self._application, scope, kept, send)
        finally:
            kept.close()
            handoff.close()
