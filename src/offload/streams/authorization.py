"""Authorization of a WebSocket's subscriptions: a request to Django inside this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse

from offload.live.handoff import HANDOFF_KEY, Handoff
from offload.streams.sse import CONTENT_TYPE, Event, Receive, Send

if TYPE_CHECKING:
    from offload.streams.client_messages import ClientMessage

type Application = Callable[[Any, Receive, Send], Awaitable[None]]

HANDSHAKE_HEADERS = {
    *(b"connection", b"content-length", b"origin", b"transfer-encoding", b"upgrade"),
    *(b"accept", b"accept-encoding", b"last-event-id"),
}
"""Headers of the handshake that the request does not repeat, besides those with `sec-`."""
MAX_PROBLEM_BYTES = 64 * 1024
"""Of a longer response body, the rest is not kept."""


@dataclass(slots=True)
class AuthorizationResponse:
    """Django's response to the request for a stream.

    Attributes:
        status: HTTP status.
        retry_after: seconds, from the header; None without one.
        body: content, up to about `MAX_PROBLEM_BYTES`.
        is_authorized: whether the view accepted the handoff, and no middleware replaced its
            response.
    """

    status: int = 500
    retry_after: int | None = None
    body: bytes = b""
    is_authorized: bool = False

    def problem(self) -> dict[str, Any]:
        """Return the problem document, or a minimal one for any other response.

        Its key `retry_after` replaces the header.
        """
        try:
            problem = json.loads(self.body)
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or problem.get("status") != self.status:
            problem = {"type": "about:blank", "title": "", "status": self.status}
        if self.retry_after is not None:
            problem["retry_after"] = self.retry_after
        return problem


async def authorize(
    application: Application, handshake: Event, message: ClientMessage, handoff: Handoff
) -> AuthorizationResponse:
    """Request the stream of the jobs in a message, as the page itself would.

    Args:
        application: Django's ASGI application.
        handshake: scope of the WebSocket, with the client's address and headers.
        message: the subscription.
        handoff: accepted by the view if it authorizes the stream.
    """
    response = AuthorizationResponse()

    async def send(event: Event) -> None:
        if event["type"] == "http.response.start":
            response.status = event["status"]
            response.retry_after = _retry_after(event)
            response.is_authorized = handoff.matches(event)
        elif len(response.body) < MAX_PROBLEM_BYTES:
            response.body += event.get("body", b"")

    scope = _request_scope(handshake, message, handoff)
    await application(scope, EmptyBody().receive, send)
    return response


def _retry_after(response_start: Event) -> int | None:
    for name, value in response_start.get("headers", ()):
        if name.lower() == b"retry-after" and value.isdigit():
            return int(value)
    return None


class EmptyBody:
    """An empty request body, from a client that stays connected."""

    def __init__(self) -> None:
        self._is_read = False

    async def receive(self) -> Event:
        """Return the body, once."""
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}


def _request_scope(handshake: Event, message: ClientMessage, handoff: Handoff) -> Event:
    path = reverse("offload:events")
    if not settings.FORCE_SCRIPT_NAME:
        path = handshake.get("root_path", "") + path
    inherited = ("root_path", "client", "server")
    return {
        **{name: handshake[name] for name in inherited if name in handshake},
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": {"wss": "https"}.get(handshake.get("scheme", "ws"), "http"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": _query(message),
        "headers": _headers(handshake, message.token),
        HANDOFF_KEY: handoff,
    }


def _query(message: ClientMessage) -> bytes:
    query = {"ids": ",".join(map(str, message.subscribe))}
    if message.known:
        query["known"] = ",".join(f"{pk}.{version}" for pk, version in message.known.items())
    return urlencode(query).encode()


def _headers(handshake: Event, token: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers by which Django, or a proxy before it, identifies the client."""
    excluded = HANDSHAKE_HEADERS if token is None else HANDSHAKE_HEADERS | {b"authorization"}
    headers = [
        (name, value)
        for name, value in handshake["headers"]
        if name.lower() not in excluded and not name.lower().startswith(b"sec-")
    ]
    if token is not None:
        headers.append((b"authorization", f"Offload {token}".encode()))
    headers.append((b"accept", CONTENT_TYPE.encode()))
    return headers
