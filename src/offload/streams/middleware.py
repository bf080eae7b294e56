"""Streams beside Django: it decides about each of them, and is done; the stream goes on here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.streams.sse import serve
from offload.streams.subscription import OFFER, Handoff
from offload.streams.websocket import StatusSocket, is_for_us

if TYPE_CHECKING:
    from offload.streams.rights_request import Application
    from offload.streams.sse import Event, Receive, Send


class StreamMiddleware:
    """An ASGI application.

    Args:
        application: Django's.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._socket = StatusSocket(application)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("method") == "GET":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket" and is_for_us(scope):
            await self._socket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _answer(self, scope: Event, receive: Receive, send: Send) -> None:
        """Pass a request on; stream in place of the response if the view wants that."""
        offer = Handoff()
        start: Event | None = None

        async def pass_on(message: Event) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and offer.claims(message):
                start = message
            elif start is None:
                await send(message)

        scope[OFFER] = offer
        try:
            await self._application(scope, receive, pass_on)
            if start is not None and offer.order is not None:
                await serve(offer.order, start, receive, send)
        finally:
            offer.close()
