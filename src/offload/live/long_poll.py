"""Holding a request until there is news, under ASGI: it holds no connection meanwhile."""

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
"""Seconds that a request is held at most: proxies give up after 30 to 60."""
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)


def requested_wait(request: HttpRequest) -> int:
    """Return for how many seconds a request wants to be held, by `Prefer: wait=20`.

    Under WSGI it would hold a worker of the server, so it is not.
    """
    if not isinstance(request, ASGIRequest):
        return 0
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else 0


async def wait_for_change(job: Job, using: str, seconds: float) -> None:
    """Return when a job's version has grown, or after some seconds.

    Args:
        job: as who asks knows it.
        using: alias in DATABASES where it is stored.
        seconds: how long at most.
    """
    loop = asyncio.get_running_loop()
    held = HeldRequest()

    def tell(told: Sequence[JobSnapshot]) -> None:
        if any(seen.job is None or seen.job.version > job.version for seen in told):
            loop.call_soon_threadsafe(held.news.set)

    watch = get_watcher(using)
    watch.subscribe({job.pk: job.version}, tell)
    open_connections.add(held)
    try:
        await asyncio.wait_for(held.news.wait(), seconds)
    except TimeoutError:
        return
    finally:
        open_connections.discard(held)
        watch.unsubscribe([job.pk], tell)


class HeldRequest:
    """A request that is held; it is answered at once when the server is told to stop."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.news = asyncio.Event()

    def close(self, reason: str) -> None:  # noqa: ARG002  # its answer is the same for all of them
        self.news.set()


def close_connections() -> None:
    """Close this thread's connections, but for those in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
