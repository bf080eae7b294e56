"""A typical hand-written stream of jobs in a Django view, without `offload.live`.

One stream for all jobs of a page, which sends only changes, and holds no database connection
between two queries.
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
    """Stream the jobs `ids` until all are finished, with a query every `interval` seconds."""
    ids = [UUID(each) for each in request.GET["ids"].split(",")]
    changes = stream_changes(ids, float(request.GET.get("interval", 0.25)))
    return StreamingHttpResponse(changes, content_type="text/event-stream", headers=HEADERS)


async def stream_changes(ids: list[UUID], interval: float) -> AsyncIterator[str]:
    """Yield an event for each change of a job that a query finds."""
    versions: dict[UUID, int] = {}
    unfinished = set(ids)
    while unfinished:
        for job in await sync_to_async(read_jobs)(unfinished):
            if job.version != versions.get(job.pk):
                versions[job.pk] = job.version
                yield f"data: {json.dumps(serialize(job))}\n\n"
            if JobState(job.state).is_finished:
                unfinished.discard(job.pk)
        await asyncio.sleep(interval)
    yield "event: close\ndata: {}\n\n"


def read_jobs(ids: set[UUID]) -> list[Job]:
    """Query the jobs and close the connection."""
    try:
        return list(Job.objects.filter(pk__in=ids))
    finally:
        connections.close_all()


def serialize(job: Job) -> dict[str, object]:
    """Return the data for the page."""
    progress = json.loads(job.progress or "{}")
    state = JobState(job.state)
    percent = 100 * progress.get("done", 0) / progress.get("total", 1)
    message = progress.get("message", state.label)
    return {
        "id": str(job.pk),
        "percent": percent,
        "text": state.label if state.is_finished else f"{message} ({percent:.0f} %)",
        "done": state.is_finished,
    }
