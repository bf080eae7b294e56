"""Long polling under ASGI: hold a request, without a database connection, until a job changes."""

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


async def wait_for_change(job: Job, using: str, seconds: float) -> None:
    """Return when a job has a newer version, or after a timeout.

    Args:
        job: in the version that the client has.
        using: alias in DATABASES where the job is stored.
        seconds: the timeout.
    """
    loop = asyncio.get_running_loop()
    held = HeldRequest()

    def on_change(snapshots: Sequence[JobSnapshot]) -> None:
        """Wake the request; called in the watcher's thread."""
        for snapshot in snapshots:
            if snapshot.job is None or snapshot.job.version > job.version:
                loop.call_soon_threadsafe(held.released.set)

    watcher = get_watcher(using)
    watcher.subscribe({job.pk: job.version}, on_change)
    open_connections.add(held)
    try:
        await asyncio.wait_for(held.released.wait(), seconds)
    except TimeoutError:
        return
    finally:
        open_connections.discard(held)
        watcher.unsubscribe([job.pk], on_change)


class HeldRequest:
    """A held request, which is answered early when the server shuts down."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.released = asyncio.Event()

    def close(self, reason: str) -> None:  # noqa: ARG002  # the response is the same for all
        self.released.set()


def close_connections() -> None:
    """Close the database connections of this thread, except those in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
