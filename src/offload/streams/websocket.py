"""The stream over a WebSocket: the same messages, and jobs may be added and taken away.

    {"subscribe": [ids], "known": {"<id>": version}, "token": "..."}    from the page
    {"unsubscribe": [ids]}
    {"event": "snapshot", "id": "a.17,b.4", "data": {...}}              to the page

Rights are checked by Django itself: each subscription is sent through the project's middleware
as a request for the stream of events, with the headers of the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import get_script_prefix
from django.urls import Resolver404, resolve

from offload.live import problems
from offload.live.views import MAX_IDS
from offload.streams.client_messages import POLICY, ClientMessage, Refused
from offload.streams.rights_request import Application, authorize
from offload.streams.same_origin import is_same_origin
from offload.streams.sse import LONGEST
from offload.streams.stream import Message, Stream, to_json
from offload.streams.subscription import Handoff, Subscription

if TYPE_CHECKING:
    from offload.streams.sse import Event, Receive, Send

PATIENCE = 10.0
"""Seconds in which the page must have said what it follows, and have been let in."""
MOST_MESSAGES = 200
"""Messages from the page in the life of one socket."""
MOST_UNREAD = 20
"""Answers that a page which goes on asking may leave unread."""
NORMAL, GOING_AWAY = 1000, 1001
"""Codes of the close: all jobs have ended; come back."""
DONE = to_json({"reason": "done"})


class StatusSocket:
    """An ASGI application for the WebSocket; `offload.asgi.Offload` has one.

    In a Channels router: `path("tasks/ws/", StatusSocket())`.

    Args:
        application: Django's, which checks rights; None makes one.
    """

    def __init__(self, application: Application | None = None) -> None:
        self._application = application or cast("Application", get_asgi_application())

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if not is_same_origin(scope):
            await send({"type": "websocket.close", "code": POLICY})
            return
        await send({"type": "websocket.accept"})
        with contextlib.suppress(OSError), Stream() as stream:
            await Session(self._application, scope, receive, send, stream).run()


def is_for_us(scope: Event) -> bool:
    """Tell whether a WebSocket asks for the URL that `offload.urls` names so."""
    try:
        match = resolve(scope["path"].removeprefix(get_script_prefix(scope)))
    except Resolver404:
        return False
    return match.url_name == "websocket" and match.app_names[-1:] == ["offload"]


class Session:
    """One open WebSocket."""

    def __init__(
        self, application: Application, scope: Any, receive: Receive, send: Send, stream: Stream
    ) -> None:
        self._application = application
        self._scope = scope
        self._receive = receive
        self._send = send
        self._stream = stream
        self._first: Subscription | None = None
        """Its seat is the socket's."""
        self._heard = 0
        self._is_gone = False

    async def run(self) -> None:
        """Read and write until the stream ends, or the page is gone or not to be borne."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        code = POLICY  # it takes nothing that is sent
        try:
            await asyncio.wait(
                (reading, writing), timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (reading, writing):
                if task.done():
                    code = task.result()
                    break
        except Refused as refused:
            code = refused.args[0]
        except TimeoutError:
            pass  # it was let in nowhere
        finally:
            for task in (reading, writing):
                task.cancel()
            # What was asked of Django may yet take a seat.
            await asyncio.gather(reading, writing, return_exceptions=True)
            if self._first is not None:
                self._first.close()
        if not self._is_gone:
            await self._send({"type": "websocket.close", "code": code})

    async def _write(self) -> int:
        """Send messages; return the code of the close."""
        code = GOING_AWAY
        async for message in self._stream.messages():
            await self._send({"type": "websocket.send", "text": encode(message)})
            if message.data == DONE:
                code = NORMAL
        return code

    async def _read(self) -> int:
        """Do what the page says, until it is gone."""
        give_up_at = asyncio.get_running_loop().time() + PATIENCE
        while True:
            # A socket without a seat is in nobody's count.
            async with asyncio.timeout_at(give_up_at if self._first is None else None):
                event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self._is_gone = True
                return GOING_AWAY
            await self._hear(event.get("text"))

    async def _hear(self, text: str | None) -> None:
        """Do what the page says."""
        self._heard += 1
        if self._heard > MOST_MESSAGES or self._stream.unread > MOST_UNREAD:
            raise Refused(POLICY)
        wish = ClientMessage.parse(text)
        kept = self._stream.ids.difference(wish.unsubscribe)
        if len(kept.union(wish.subscribe)) > MAX_IDS:
            self._stream.say(Message("error", data=to_json(problems.bad_ids(MAX_IDS).document())))
        elif wish.subscribe:
            await self._subscribe(wish)
        self._stream.remove(wish.unsubscribe)  # now: a stream that follows nothing ends

    async def _subscribe(self, wish: ClientMessage) -> None:
        offer = Handoff(seat=self._first is None)
        try:
            answer = await authorize(self._application, self._scope, wish, offer)
        except BaseException:
            offer.close()
            raise
        if offer.order is not None and answer.is_taken:
            self._first = self._first or offer.order
            self._stream.add(offer.order)
            return
        offer.close()
        if answer.status in (204, 404):
            missing = [str(pk) for pk in wish.subscribe] if answer.status == 404 else []
            self._stream.say(Message("snapshot", data=to_json({"items": [], "missing": missing})))
        else:
            self._stream.say(Message("error", data=to_json(answer.problem())))


def encode(message: Message) -> str:
    """Return a message as it is sent."""
    identifier = f',"id":{to_json(message.id)}' if message.id else ""
    data = f',"data":{message.data}' if message.data else ""
    return f'{{"event":{to_json(message.event)}{identifier}{data}}}'
