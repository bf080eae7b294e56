"""The stream as server-sent events: beside Django by ASGI, or as the response of a view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse

from offload.streams.stream import LIFE, Message, Stream
from offload.streams.subscription import MARK

if TYPE_CHECKING:
    from offload.streams.subscription import Subscription

CONTENT_TYPE = "text/event-stream"
HEADERS = {
    "Cache-Control": "private, no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx
}
RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a browser's EventSource comes back."""
LONGEST = 2 * LIFE
"""Seconds after which a stream is given up whose reader takes nothing."""

type Event = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Event]]
type Send = Callable[[Event], Awaitable[None]]


def encode(burst: Iterable[Message]) -> bytes:
    """Return messages as they are sent; data is one line of JSON, without control characters."""
    return "".join(map(_block, burst)).encode()


def _block(message: Message) -> str:
    if message.event == "ping":
        return ": ping\n\n"
    identifier = f"id: {message.id}\n" if message.id else ""
    return f"event: {message.event}\n{identifier}data: {message.data}\n\n"


async def lines(order: Subscription) -> AsyncGenerator[bytes]:
    """Yield the bytes of a stream; the order's seat is free afterwards."""
    try:
        yield RETRY
        with Stream(order) as stream:
            async for burst in stream.bursts():
                yield encode(burst)
    finally:
        order.close()


class EventStream(StreamingHttpResponse):
    """The stream as a response: for servers without `offload.asgi.Offload`.

    Django keeps a thread for each request that has not ended.
    """

    def __init__(self, order: Subscription) -> None:
        super().__init__(lines(order), content_type=CONTENT_TYPE, headers=HEADERS)
        self._order = order

    def close(self) -> None:
        super().close()
        self._order.close()  # it may never have been begun


async def serve(order: Subscription, start: Event, receive: Receive, send: Send) -> None:
    """Send a stream by ASGI.

    Args:
        order: what is streamed.
        start: the beginning of Django's response, with the headers that middleware added.
        receive: tells when the reader is gone.
        send: takes the stream.
    """
    with Stream(order) as stream:
        gone = asyncio.create_task(_until_gone(receive))
        gone.add_done_callback(lambda _: stream.cut())
        try:
            async with asyncio.timeout(LONGEST):
                await send({**start, "headers": _headers(start)})
                await send(_body(RETRY))
                async for burst in stream.bursts():
                    await send(_body(encode(burst), more=burst[-1].event != "end"))
        except (TimeoutError, OSError):
            pass  # nobody reads
        finally:
            gone.cancel()


def _headers(start: Event) -> list[tuple[bytes, bytes]]:
    """Leave out what is only about Django's empty body, or only for us."""
    unfit = {MARK.lower().encode(), b"content-length", b"content-encoding"}
    return [(name, value) for name, value in start["headers"] if name.lower() not in unfit]


def _body(content: bytes, *, more: bool = True) -> Event:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
