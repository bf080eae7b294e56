"""Holding a request until there is news, under ASGI: no thread and no connection is held."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections

from offload.live.ledger import backend_of, find_jobs
from offload.store.watch import get_watch

if TYPE_CHECKING:
    from django.http import HttpRequest

    from offload.models import Job

LONGEST_WAIT = 20
"""Seconds that a request is held at most: proxies give up after 30 to 60."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds between two looks at a job that has not ended, from the first to the second."""
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)


def wanted_wait(request: HttpRequest) -> int:
    """Return for how many seconds a request wants to be held, by `Prefer: wait=20`.

    Under WSGI it would hold a worker of the server, so it is not.
    """
    if not isinstance(request, ASGIRequest):
        return 0
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found[1]), LONGEST_WAIT) if found else 0


async def wait_for_news(job: Job, seconds: float) -> None:
    """Return when the job's version has grown, or after some seconds."""
    backend: Any = await sync_to_async(backend_of)(job)
    if not backend.stores_rows:
        return
    watch = get_watch(backend.settings.database)
    pause = FIRST_PAUSE
    try:
        async with asyncio.timeout(seconds):
            while await sync_to_async(version_of)(job.pk) == job.version:
                try:
                    await asyncio.wait_for(watch.wait_async(job.pk), pause)
                except TimeoutError:
                    pause = min(pause * 1.5, LONGEST_PAUSE)
                else:
                    return
    except TimeoutError:
        return


def version_of(identifier: UUID) -> int | None:
    """Return a job's version; the thread's connections are closed thereafter."""
    job = find_jobs([identifier]).get(identifier)
    free_connections()
    return None if job is None else job.version


def free_connections() -> None:
    """Close this thread's connections, but for those in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
