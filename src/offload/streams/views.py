"""The view that authorizes a stream. The server or the view itself then sends the stream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from offload.live import problems
from offload.live.access import Viewer
from offload.live.connection_limits import get_connection_limits
from offload.live.documents import find_details
from offload.live.handoff import HANDOFF_HEADER, HANDOFF_KEY, Handoff
from offload.live.jobs import job_database
from offload.live.long_poll import close_connections
from offload.live.responses import job_view
from offload.live.views import exempt_from_atomic_requests, parse_ids
from offload.store.records import JobSnapshot
from offload.streams.snapshots import RenderContext, RenderedSnapshot
from offload.streams.sse import CONTENT_TYPE, HEADERS, EventStream
from offload.streams.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from offload.models import Job

_KNOWN = re.compile(r"([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})\.(\d{1,10})", re.IGNORECASE)


@exempt_from_atomic_requests
@login_not_required
async def events(request: HttpRequest) -> HttpResponseBase:
    """Stream the states of some jobs."""
    response: HttpResponseBase = await sync_to_async(_stream_response)(request)
    return response


@job_view("GET")
def websocket(_: HttpRequest) -> HttpResponse:
    """Refuse a plain request to the URL of the WebSocket."""
    raise problems.upgrade_required()


@job_view("GET")
def _stream_response(request: HttpRequest) -> HttpResponseBase:
    if not isinstance(request, ASGIRequest):
        raise problems.no_stream()
    if not request.accepts(CONTENT_TYPE):
        raise problems.not_acceptable()
    viewer = Viewer(request)
    subscription = _authorize(request, viewer)
    close_connections()
    if _has_every_result(subscription):
        return HttpResponse(status=204)
    handoff: Handoff | None = request.scope.get(HANDOFF_KEY)
    if handoff is None or handoff.counts_connection:
        subscription.connection = get_connection_limits().acquire(viewer.client)
    if handoff is None:
        return EventStream(subscription)
    headers = {**HEADERS, HANDOFF_HEADER: handoff.accept(subscription)}
    return HttpResponse(content_type=CONTENT_TYPE, headers=headers)


def _authorize(request: HttpRequest, viewer: Viewer) -> Subscription:
    """Return the subscription to those of the requested jobs that the viewer may see.

    Raises:
        Problem: 404 if no job is readable; 501 for a job that is not in a database.
    """
    ids = parse_ids(request.GET.get("ids", ""))
    readable = viewer.readable(ids)
    if not readable:
        raise problems.not_found()
    snapshots = _snapshots([job for job, _ in readable.values()])
    return Subscription(
        jobs={pk: (snapshots[pk], grants) for pk, (_, grants) in readable.items()},
        known=_known_versions(request, snapshots),
        missing=[str(pk) for pk in ids if pk not in readable],
        context=RenderContext.current(),
        session_key=getattr(getattr(request, "session", None), "session_key", None),
    )


def _snapshots(jobs: Collection[Job]) -> dict[UUID, RenderedSnapshot]:
    if any(job_database(job) is None for job in jobs):
        raise problems.no_stream()
    details = find_details(jobs)
    snapshots = {}
    for job in jobs:
        failure, queue_position = details[job.pk]
        snapshot = JobSnapshot(job.pk, job, failure)
        snapshots[job.pk] = RenderedSnapshot(snapshot, queue_position)
    return snapshots


def _known_versions(
    request: HttpRequest, snapshots: dict[UUID, RenderedSnapshot]
) -> dict[UUID, int]:
    """Return the versions that the client has, from the id of the last event that it read.

    A delayed job is left out: its queue position changes without a new version.
    """
    text = request.headers.get("Last-Event-ID") or request.GET.get("known", "")
    known = {UUID(pk): int(version) for pk, version in _KNOWN.findall(text)}
    return {
        pk: version
        for pk, version in known.items()
        if pk not in snapshots or snapshots[pk].queue_position is None
    }


def _has_every_result(subscription: Subscription) -> bool:
    """Return whether all jobs have finished, and the client has their final states."""
    for pk, (snapshot, _) in subscription.jobs.items():
        known_version = subscription.known.get(pk, -1)
        if not snapshot.is_finished or known_version < (snapshot.version or 0):
            return False
    return True
