"""The open streams and held requests of this process, which are closed when it shuts down.

When a server receives a signal, it waits for its open connections, and only then sends the ASGI
event `lifespan.shutdown`. So this module handles the signal first, and then calls the server's
handler.
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
"""Time in which Django flushes the session of a user who signs out."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class OpenConnection(Protocol):
    """A stream or a held request."""

    sessions: set[str]
    """Keys of the sessions that authorized it."""

    def close(self, reason: str) -> None:
        """Close it; called in its event loop."""


class OpenConnections:
    """All open connections of this process, in all its event loops."""

    def __init__(self) -> None:
        self._loops: dict[OpenConnection, asyncio.AbstractEventLoop] = {}
        self._has_handlers = False
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._loops)

    def add(self, connection: OpenConnection) -> None:
        """Register a connection of the running event loop; it is closed during a shutdown."""
        self._install_handlers()
        self._loops[connection] = asyncio.get_running_loop()
        if self._is_closing:
            connection.close("shutdown")

    def discard(self, connection: OpenConnection) -> None:
        self._loops.pop(connection, None)

    def open(self) -> None:
        """Keep connections open: the server starts, perhaps after a shutdown in this process."""
        self._is_closing = False

    def close_all(self) -> None:
        """Close all connections. May be called from a signal handler."""
        self._close_later(list(self._loops), "shutdown")

    def close_session(self, session: str) -> None:
        """Close the connections of a session; pages that reconnect are authorized again.

        Django sends `user_logged_out` before it flushes the session, so this waits for
        SIGN_OUT_DELAY_SECONDS.
        """
        connections = list(self._loops)
        of_session = [connection for connection in connections if session in connection.sessions]
        self._close_later(of_session, "lifetime", delay=SIGN_OUT_DELAY_SECONDS)

    def _close_later(
        self, connections: list[OpenConnection], reason: str, *, delay: float = 0.0
    ) -> None:
        for connection in connections:
            loop = self._loops.get(connection)
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(loop.call_later, delay, connection.close, reason)

    def _install_handlers(self) -> None:
        """Handle the signals before the server's handlers, which are installed by now."""
        if self._has_handlers or threading.current_thread() is not threading.main_thread():
            return
        self._has_handlers = True
        for number in SIGNALS:
            previous = signal.getsignal(number)
            # Without a handler the process exits at once, and no server waits for connections.
            if callable(previous):
                signal.signal(number, self._handler_before(previous))

    def _handler_before(self, previous: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
        def handle(number: int, frame: Any) -> None:
            self._is_closing = True  # also for connections that open while the server waits
            self.close_all()
            previous(number, frame)

        return handle


open_connections = OpenConnections()


@receiver(user_logged_out, dispatch_uid="offload.live.open_connections")
def _close_session(request: Any = None, **_: Any) -> None:
    session = getattr(getattr(request, "session", None), "session_key", None)
    if not session:
        return
    close = partial(open_connections.close_session, session)
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(close, robust=True)  # other connections still see the session
    else:
        close()
