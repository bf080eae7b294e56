"""Asking Django whether a page may follow jobs, by a request inside this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse

from offload.streams.sse import CONTENT_TYPE, Event, Receive, Send
from offload.streams.subscription import OFFER, Handoff

if TYPE_CHECKING:
    from offload.streams.client_messages import ClientMessage

type Application = Callable[[Any, Receive, Send], Awaitable[None]]

LEFT_OUT = {
    *(b"connection", b"content-length", b"origin", b"transfer-encoding", b"upgrade"),
    *(b"accept", b"accept-encoding", b"last-event-id"),
}
"""Headers that are about the handshake itself, beside those that begin with `sec-`."""
LONGEST_PROBLEM = 64 * 1024
"""Bytes of an answer that are looked at."""


@dataclass(slots=True)
class Answer:
    """Attributes:
    status: of HTTP.
    body: its beginning.
    is_taken: whether the offer was taken up, and no middleware thought otherwise.
    """

    status: int = 500
    body: bytes = b""
    is_taken: bool = False

    def problem(self) -> dict[str, Any]:
        """Return the problem document; of another answer, one that tells its status."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if isinstance(found, dict) and found.get("status") == self.status:
            return found
        return {"type": "about:blank", "title": "", "status": self.status}


async def authorize(
    application: Application, handshake: Event, wish: ClientMessage, offer: Handoff
) -> Answer:
    """Send a request for the stream of what a page wishes to follow, as the page itself would.

    Args:
        application: Django's.
        handshake: scope of the WebSocket: where it came from, and its headers.
        wish: what is to be followed.
        offer: what the view may take up.
    """
    answer = Answer()

    async def send(message: Event) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.is_taken = message["status"], offer.claims(message)
        elif len(answer.body) < LONGEST_PROBLEM:
            answer.body += message.get("body", b"")

    await application(_scope(handshake, wish, offer), _Body().receive, send)
    return answer


class _Body:
    """An empty body, from somebody who stays."""

    def __init__(self) -> None:
        self._is_read = False

    async def receive(self) -> Event:
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}


def _scope(handshake: Event, wish: ClientMessage, offer: Handoff) -> Event:
    path = reverse("offload:events")
    if not settings.FORCE_SCRIPT_NAME:
        path = handshake.get("root_path", "") + path
    query = {"ids": ",".join(map(str, wish.subscribe))}
    if wish.known:
        query["known"] = ",".join(f"{pk}.{version}" for pk, version in wish.known.items())
    return {
        **{
            name: handshake[name] for name in ("root_path", "client", "server") if name in handshake
        },
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": {"wss": "https"}.get(handshake.get("scheme", "ws"), "http"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(query).encode(),
        "headers": _headers(handshake, wish),
        OFFER: offer,
    }


def _headers(handshake: Event, wish: ClientMessage) -> list[tuple[bytes, bytes]]:
    """Return those by which Django, or whatever stands before it, tells who asks."""
    left_out = LEFT_OUT if wish.token is None else LEFT_OUT | {b"authorization"}
    kept = [
        (name, value)
        for name, value in handshake["headers"]
        if name.lower() not in left_out and not name.lower().startswith(b"sec-")
    ]
    if wish.token is not None:
        kept.append((b"authorization", f"Offload {wish.token}".encode()))
    return [*kept, (b"accept", CONTENT_TYPE.encode())]
