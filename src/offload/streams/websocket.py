"""The stream over a WebSocket: the same messages, and the client can add and remove jobs.

    {"subscribe": [ids], "known": {"<id>": version}, "token": "..."}    from the client
    {"unsubscribe": [ids]}
    {"event": "snapshot", "id": "a.17,b.4", "data": {...}}              to the client

Django authorizes each subscription: it is sent through the project's middleware as a request for
the stream, with the headers of the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import get_script_prefix
from django.urls import Resolver404, resolve

from offload.live import problems
from offload.live.handoff import Handoff
from offload.live.views import MAX_IDS
from offload.streams.authorization import Application, authorize
from offload.streams.client_messages import CLOSE_POLICY_VIOLATION, ClientMessage, ProtocolError
from offload.streams.same_origin import is_same_origin
from offload.streams.sse import MAX_CONNECTION_SECONDS
from offload.streams.stream import Stream, StreamMessage, to_json
from offload.streams.subscription import Subscription

if TYPE_CHECKING:
    from offload.streams.sse import Event, Receive, Send

SUBSCRIBE_TIMEOUT = 10.0
"""Seconds within which the client must subscribe to a job that it may see."""
MAX_CLIENT_MESSAGES = 200
"""Maximum number of messages from the client on one socket."""
MAX_UNREAD_REPLIES = 20
"""Close the socket of a client that sends messages while more replies are unread."""
CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001


class StatusSocket:
    """An ASGI application that serves the WebSocket. `offload.asgi.Offload` contains one.

    In a Channels router: `path("tasks/ws/", StatusSocket())`.

    Args:
        application: Django's ASGI application, which authorizes subscriptions; made if None.
    """

    def __init__(self, application: Application | None = None) -> None:
        self._application = application or cast("Application", get_asgi_application())

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if not is_same_origin(scope):
            await send({"type": "websocket.close", "code": CLOSE_POLICY_VIOLATION})
            return
        await send({"type": "websocket.accept"})
        with contextlib.suppress(OSError), Stream() as stream:
            await SocketConnection(self._application, scope, receive, send, stream).run()


def is_status_socket(scope: Event) -> bool:
    """Return whether a WebSocket's path is the URL `offload:websocket`."""
    try:
        match = resolve(scope["path"].removeprefix(get_script_prefix(scope)))
    except Resolver404:
        return False
    return match.url_name == "websocket" and match.app_names[-1:] == ["offload"]


class SocketConnection:
    """An open WebSocket.

    Args:
        application: Django's ASGI application.
        scope: ASGI scope of the handshake.
        receive: returns the client's messages.
        send: sends messages to the client.
        stream: the messages to send.
    """

    def __init__(
        self, application: Application, scope: Any, receive: Receive, send: Send, stream: Stream
    ) -> None:
        self._application = application
        self._scope = scope
        self._receive = receive
        self._send = send
        self._stream = stream
        self._counted: Subscription | None = None
        """The first subscription, which counts the connection against the limits."""
        self._received = 0
        self._is_disconnected = False

    async def run(self) -> None:
        """Read and write until the stream closes, or either side disconnects."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            close_code = await self._first_close_code(reading, writing)
        finally:
            for task in (reading, writing):
                task.cancel()
            # A subscription in progress may count the connection before it is cancelled.
            await asyncio.gather(reading, writing, return_exceptions=True)
            if self._counted is not None:
                self._counted.close()
        if not self._is_disconnected:
            await self._send({"type": "websocket.close", "code": close_code})

    async def _first_close_code(self, *tasks: asyncio.Task[int]) -> int:
        """Wait for the first task, and return its close code."""
        await asyncio.wait(
            tasks, timeout=MAX_CONNECTION_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        try:
            for task in tasks:
                if task.done():
                    return task.result()
        except ProtocolError as error:
            return error.close_code
        except TimeoutError:
            pass  # the client has not subscribed
        return CLOSE_POLICY_VIOLATION  # also for a client that does not read

    async def _write(self) -> int:
        """Send messages until the stream closes; return the close code."""
        async for message in self._stream.messages():
            await self._send({"type": "websocket.send", "text": encode(message)})
        return CLOSE_NORMAL if self._stream.close_reason == "finished" else CLOSE_GOING_AWAY

    async def _read(self) -> int:
        """Handle messages until the client disconnects; return the close code."""
        give_up_at = asyncio.get_running_loop().time() + SUBSCRIBE_TIMEOUT
        while True:
            # Without a subscription the socket counts against no limit.
            async with asyncio.timeout_at(give_up_at if self._counted is None else None):
                event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self._is_disconnected = True
                return CLOSE_GOING_AWAY
            await self._handle(event.get("text"))

    async def _handle(self, text: str | None) -> None:
        """Subscribe and unsubscribe as the message requests."""
        self._received += 1
        if self._received > MAX_CLIENT_MESSAGES or self._stream.unread_replies > MAX_UNREAD_REPLIES:
            raise ProtocolError(CLOSE_POLICY_VIOLATION)
        message = ClientMessage.parse(text)
        kept = self._stream.ids.difference(message.unsubscribe)
        if len(kept.union(message.subscribe)) > MAX_IDS:
            self._reply("error", problems.bad_ids(MAX_IDS).document())
        elif message.subscribe:
            await self._subscribe(message)
        # Last, since a stream without jobs closes.
        self._stream.unsubscribe(message.unsubscribe)

    async def _subscribe(self, message: ClientMessage) -> None:
        handoff = Handoff(counts_connection=self._counted is None)
        try:
            response = await authorize(self._application, self._scope, message, handoff)
        except BaseException:
            handoff.close()
            raise
        subscription = handoff.accepted
        if isinstance(subscription, Subscription) and response.is_authorized:
            self._counted = self._counted or subscription
            self._stream.subscribe(subscription)
            return
        handoff.close()
        if response.status == 204:
            self._reply("snapshot", {"items": [], "missing": []})
        elif response.status == 404:
            self._reply("snapshot", {"items": [], "missing": list(map(str, message.subscribe))})
        else:
            self._reply("error", response.problem())

    def _reply(self, event: str, data: dict[str, Any]) -> None:
        self._stream.reply(StreamMessage(event, data=to_json(data)))


def encode(message: StreamMessage) -> str:
    """Return a message as JSON."""
    identifier = f',"id":{to_json(message.id)}' if message.id else ""
    data = f',"data":{message.data}' if message.data else ""
    return f'{{"event":{to_json(message.event)}{identifier}{data}}}'
