"""Server-sent events, sent over ASGI beside Django or as the response of a view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse

from offload.live.handoff import HANDOFF_HEADER
from offload.streams.stream import LIFETIME_SECONDS, Stream, StreamMessage

if TYPE_CHECKING:
    from offload.streams.subscription import Subscription

CONTENT_TYPE = "text/event-stream"
HEADERS = {
    "Cache-Control": "private, no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx
}
RETRY = b"retry: 2000\n\n"
"""Makes a browser's EventSource reconnect after 2,000 ms."""
MAX_CONNECTION_SECONDS = 2 * LIFETIME_SECONDS
"""Maximum time of a connection, for a client that does not read the close message."""

type Event = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Event]]
type Send = Callable[[Event], Awaitable[None]]


def encode(batch: Iterable[StreamMessage]) -> bytes:
    """Return messages in the format of server-sent events."""
    return "".join(_encode_message(message) for message in batch).encode()


def _encode_message(message: StreamMessage) -> str:
    if message.event == "ping":
        return ": ping\n\n"
    identifier = f"id: {message.id}\n" if message.id else ""
    return f"event: {message.event}\n{identifier}data: {message.data}\n\n"


async def stream_content(subscription: Subscription) -> AsyncGenerator[bytes]:
    """Yield the content of a stream, then close the subscription."""
    try:
        yield RETRY
        with Stream(subscription) as stream:
            async for batch in stream.batches():
                yield encode(batch)
    finally:
        subscription.close()


class EventStream(StreamingHttpResponse):
    """The stream as a response, for servers without `offload.asgi.Offload`.

    Django keeps a thread for each open response.
    """

    def __init__(self, subscription: Subscription) -> None:
        content = stream_content(subscription)
        super().__init__(content, content_type=CONTENT_TYPE, headers=HEADERS)
        self._subscription = subscription

    def close(self) -> None:
        super().close()
        self._subscription.close()  # the generator does not, if it never started


async def serve(
    subscription: Subscription, response_start: Event, receive: Receive, send: Send
) -> None:
    """Send a stream over ASGI.

    Args:
        subscription: the jobs of the stream.
        response_start: `http.response.start` of Django, with the headers that middleware added.
        receive: returns `http.disconnect` when the client has disconnected.
        send: sends the response.
    """
    with Stream(subscription) as stream:
        disconnected = asyncio.create_task(wait_for_disconnect(receive))
        disconnected.add_done_callback(lambda _: stream.abort())
        try:
            async with asyncio.timeout(MAX_CONNECTION_SECONDS):
                await send({**response_start, "headers": _headers(response_start)})
                await send(_body(RETRY))
                async for batch in stream.batches():
                    await send(_body(encode(batch), more=batch[-1].event != "close"))
        except (TimeoutError, OSError):
            pass  # the client does not read, or has disconnected
        finally:
            disconnected.cancel()


def _headers(response_start: Event) -> list[tuple[bytes, bytes]]:
    """Return Django's headers without those that describe its empty body."""
    excluded = {HANDOFF_HEADER.lower().encode(), b"content-length", b"content-encoding"}
    return [item for item in response_start["headers"] if item[0].lower() not in excluded]


def _body(content: bytes, *, more: bool = True) -> Event:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
