"""Held requests, answered by Django when their job has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from offload.streams.authorization import EmptyBody
from offload.streams.sse import wait_for_disconnect

if TYPE_CHECKING:
    from offload.live.long_poll import HeldRequest
    from offload.streams.authorization import Application
    from offload.streams.sse import Event, Receive, Send

MAX_CONCURRENT_RESPONSES = 16
"""Requests that Django answers at once: it uses a thread for each, and one change may release
hundreds."""

_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def respond_later(
    held: HeldRequest, application: Application, scope: Event, receive: Receive, send: Send
) -> None:
    """Wait until a held request should be answered, then pass it to Django again.

    So Django checks the permissions again, and no thread waits.

    Args:
        held: the request.
        application: Django's ASGI application.
        scope: of the request.
        receive: returns `http.disconnect` when the client has disconnected.
        send: sends the response.
    """
    disconnected = asyncio.create_task(wait_for_disconnect(receive))
    disconnected.add_done_callback(lambda _: held.close())
    try:
        await held.wait()
        semaphore = _semaphores.setdefault(
            asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT_RESPONSES)
        )
        async with semaphore:
            if not disconnected.done():
                respond = _with_preference(send, held.seconds)
                await application(_without_preference(scope), EmptyBody().receive, respond)
    finally:
        disconnected.cancel()


def _without_preference(scope: Event) -> Event:
    headers = [item for item in scope["headers"] if item[0].lower() != b"prefer"]
    return {**scope, "headers": headers}


def _with_preference(send: Send, seconds: int) -> Send:
    applied = (b"preference-applied", f"wait={seconds}".encode())

    async def send_applied(message: Event) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], applied]}
        await send(message)

    return send_applied
