"""Long polling: requests that are held, beside Django, until a job changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIRequest
from django.db import connections

from offload.live.open_connections import open_connections
from offload.watching.watcher import get_watcher

if TYPE_CHECKING:
    from django.http import HttpRequest

    from offload.live.connection_limits import CountedConnection
    from offload.models import Job
    from offload.store.records import JobSnapshot

MAX_WAIT_SECONDS = 20
"""Maximum time that a request is held: proxies time out after 30 to 60 seconds."""
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)
"""The preference of RFC 7240, 4.3."""


def requested_wait(request: HttpRequest) -> int:
    """Return for how many seconds to hold a request, from its header `Prefer: wait=20`.

    It is 0 under WSGI: a held request would occupy a thread of the server.
    """
    if not isinstance(request, ASGIRequest):
        return 0
    match = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(match[1]), MAX_WAIT_SECONDS) if match else 0


class HeldRequest:
    """A request for the state of a job, of which the client has the newest version.

    It is answered when the job changes, after a timeout, or when the server shuts down.

    Args:
        job: in the version that the client has.
        using: alias in DATABASES where the job is stored.
        seconds: the timeout.
        connection: counts it against the limits.
    """

    def __init__(self, job: Job, using: str, seconds: int, connection: CountedConnection) -> None:
        self.seconds = seconds
        self.sessions: set[str] = set()
        self._job = job
        self._using = using
        self._connection = connection
        self._released = asyncio.Event()

    async def wait(self) -> None:
        """Return when the request should be answered."""
        loop = asyncio.get_running_loop()
        version = self._job.version

        def on_change(snapshots: Sequence[JobSnapshot]) -> None:
            """Release the request; called in the watcher's thread."""
            for snapshot in snapshots:
                if snapshot.job is None or snapshot.job.version > version:
                    loop.call_soon_threadsafe(self._released.set)

        watcher = get_watcher(self._using)
        watcher.subscribe({self._job.pk: version}, on_change)
        open_connections.add(self)
        try:
            async with asyncio.timeout(self.seconds):
                await self._released.wait()
        except TimeoutError:
            return
        finally:
            open_connections.discard(self)
            watcher.unsubscribe([self._job.pk], on_change)

    def close(self, reason: str = "") -> None:  # noqa: ARG002  # the response is the same for all
        """Answer it now, and stop counting it. Called in its event loop."""
        self._released.set()
        self._connection.close()


def close_connections() -> None:
    """Close the database connections of this thread, except those in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
