"""A client of an ASGI application in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.asgi import get_asgi_application
from django.utils.datastructures import CaseInsensitiveMapping

from offload.streams.middleware import StreamMiddleware

application = StreamMiddleware(get_asgi_application())


class AsgiResponse(NamedTuple):
    status_code: int
    headers: CaseInsensitiveMapping[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def get(
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    address: str = "127.0.0.1",
    disconnected: asyncio.Event | None = None,
) -> AsgiResponse:
    """Return the response to a request; of a client that may disconnect meanwhile.

    Its status is 0 if nothing was sent.
    """
    requests = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if requests:
            return requests.pop()
        await (disconnected or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    fields = {"Host": "testserver", "Accept": "*/*", **(headers or {})}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "client": (address, 5000),
        "server": ("testserver", 80),
        "scheme": "http",
    }
    await application(scope, receive, send)
    if not sent:
        return AsgiResponse(0, CaseInsensitiveMapping({}), b"")
    start, *bodies = sent
    pairs = {name.decode(): value.decode() for name, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in bodies)
    return AsgiResponse(start["status"], CaseInsensitiveMapping(pairs), body)
