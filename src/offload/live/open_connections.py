"""The streams that are open in this process, so that they can be ended together.

Servers wait for open connections when they are told to stop, and tell the application only
after that. So we listen to the signal too, before it is passed on to the server.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.dispatch import receiver

SIGN_OUT_DELAY_SECONDS = 1.0
"""Seconds that Django has to empty the session of who signs out."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class OpenConnection(Protocol):
    """A stream."""

    sessions: set[str]
    """Keys of the sessions that have a right to it."""

    def close(self, reason: str) -> None:
        """End it, in its event loop."""


class OpenConnections:
    """All streams of this process, of whichever event loop."""

    def __init__(self) -> None:
        self._streams: dict[OpenConnection, asyncio.AbstractEventLoop] = {}
        self._listens = False
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: OpenConnection) -> None:
        self._listen()
        self._streams[stream] = asyncio.get_running_loop()
        if self._is_closing:
            stream.close("shutdown")

    def discard(self, stream: OpenConnection) -> None:
        self._streams.pop(stream, None)

    def open(self) -> None:
        """The server starts, maybe for a second time in this process."""
        self._is_closing = False

    def close_all(self) -> None:
        """The server stops: end all streams. May be called from a signal."""
        self._close_where(lambda _: True, "shutdown")

    def close_session(self, session: str) -> None:
        """End the streams of a session: when their pages come back, rights are checked anew.

        Django tells of a sign-out before it empties the session, so they end a little later.
        """
        self._close_where(
            lambda stream: session in stream.sessions, "lifetime", after=SIGN_OUT_DELAY_SECONDS
        )

    def _close_where(
        self, which: Callable[[OpenConnection], bool], reason: str, *, after: float = 0.0
    ) -> None:
        for stream, loop in tuple(self._streams.items()):
            if which(stream) and not loop.is_closed():
                loop.call_soon_threadsafe(loop.call_later, after, stream.close, reason)

    def _listen(self) -> None:
        """Notice when the server is told to stop; its own handlers are in place by now."""
        if self._listens or threading.current_thread() is not threading.main_thread():
            return
        self._listens = True
        for number in SIGNALS:
            before = signal.getsignal(number)
            if callable(before):  # else nobody waits for connections: the process just ends
                signal.signal(number, self._chained(before))

    def _chained(self, before: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
        def handle(number: int, frame: Any) -> None:
            self._is_closing = True  # also for those that come while the server waits
            self.close_all()
            before(number, frame)

        return handle


open_connections = OpenConnections()


@receiver(user_logged_out, dispatch_uid="offload.live.open_connections")
def _end_streams_of_session(request: Any = None, **_: Any) -> None:
    session = getattr(getattr(request, "session", None), "session_key", None)
    if not session:
        return
    sign_out = partial(open_connections.close_session, session)
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(sign_out, robust=True)  # others still see the session
    else:
        sign_out()
