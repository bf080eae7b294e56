"""A stream of jobs as a careful developer writes it in a view, without our `offload.live`.

One stream for all jobs of a page; only what has changed is sent; no connection to the database
is held between two looks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse

from offload.lifecycle import JobState
from offload.models import Job

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Stream the jobs `ids` until all have ended, looking `every` so many seconds."""
    ids = [UUID(each) for each in request.GET["ids"].split(",")]
    stream = follow(ids, float(request.GET.get("every", 0.25)))
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=HEADERS)


async def follow(ids: list[UUID], every: float) -> AsyncIterator[str]:
    """Yield an event for each change of a job that is seen."""
    known: dict[UUID, int] = {}
    running = set(ids)
    while running:
        for job in await sync_to_async(look)(running):
            if job.version != known.get(job.pk):
                known[job.pk] = job.version
                yield f"data: {json.dumps(told(job))}\n\n"
            if JobState(job.state).is_finished:
                running.discard(job.pk)
        await asyncio.sleep(every)
    yield "event: close\ndata: {}\n\n"


def look(ids: set[UUID]) -> list[Job]:
    """Read the jobs."""
    try:
        return list(Job.objects.filter(pk__in=ids))
    finally:
        connections.close_all()


def told(job: Job) -> dict[str, object]:
    """Return what the page needs."""
    progress = json.loads(job.progress or "{}")
    state = JobState(job.state)
    percent = 100 * progress.get("done", 0) / progress.get("total", 1)
    words = progress.get("message", state.label)
    return {
        "id": str(job.pk),
        "percent": percent,
        "words": state.label if state.is_finished else f"{words} ({percent:.0f} %)",
        "done": state.is_finished,
    }
