"""The ASGI applications of the tests: with streams, and without a worker."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

from offload.asgi import Offload
from offload.live.open_connections import open_connections
from offload.streams.websocket import StatusSocket

django = get_asgi_application()
application = Offload(django, run_jobs=False)
with_worker = Offload(django)


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Replace Django's response by a refusal, as another middleware could do."""

    async def replace(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "status": 403, "headers": []}
        else:
            message = {**message, "body": b"refused"}
        await send(message)

    await django(scope, receive, replace)


refusing = Offload(refuse, run_jobs=False)


async def counting(scope: Any, receive: Any, send: Any) -> None:
    """Respond to /open/ with the number of open streams and held requests."""
    if scope.get("path") != "/open/":
        await application(scope, receive, send)
        return
    body = f"open={len(open_connections)};".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


channels = ProtocolTypeRouter(
    {"http": django, "websocket": URLRouter([path("elsewhere/", StatusSocket(django))])}
)
