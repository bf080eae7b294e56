"""A server's `receive`, which Django may stop awaiting without cancelling it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.streams.sse import Event, Receive


class KeptReceive:
    """`receive` of a request, whose last call stays pending until the connection closes.

    Django awaits a disconnect while it responds, and then cancels the call. Some servers, such as
    gunicorn, take that for the disconnect itself, and would cut the stream that follows.

    Args:
        receive: of the server.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_body = False
        self._pending: asyncio.Task[Event] | None = None

    async def __call__(self) -> Event:
        """Return the next event; a cancelled call leaves it to the next one."""
        if not self._has_body:  # Django does not cancel while it reads the body
            event = await self._receive()
            self._has_body = not event.get("more_body")
            return event
        if self._pending is None:
            self._pending = asyncio.create_task(self._next_event())
        event = await asyncio.shield(self._pending)
        self._pending = None
        return event

    def close(self) -> None:
        """Cancel the pending call."""
        if self._pending is not None:
            self._pending.cancel()

    async def _next_event(self) -> Event:
        return await self._receive()
