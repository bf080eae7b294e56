"""The view of the stream. It checks rights; what streams is the server beside Django, or itself."""

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
from offload.live.jobs import job_database
from offload.live.long_poll import close_connections
from offload.live.responses import job_view
from offload.live.views import exempt_from_atomic_requests, parse_ids
from offload.store.records import JobSnapshot
from offload.streams.snapshots import RenderedSnapshot, Wording
from offload.streams.sse import CONTENT_TYPE, HEADERS, EventStream
from offload.streams.subscription import MARK, OFFER, Handoff, Subscription

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

_KNOWN = re.compile(r"([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})\.(\d{1,10})", re.IGNORECASE)


@exempt_from_atomic_requests
@login_not_required
async def events(request: HttpRequest) -> HttpResponseBase:
    """Stream the states of several jobs."""
    response: HttpResponseBase = await sync_to_async(_answer)(request)
    return response


@job_view("GET")
def websocket(_: HttpRequest) -> HttpResponse:
    """Say that here is no page, but a WebSocket."""
    raise problems.upgrade_required()


@job_view("GET")
def _answer(request: HttpRequest) -> HttpResponseBase:
    if not isinstance(request, ASGIRequest):
        raise problems.no_stream()
    if not request.accepts(CONTENT_TYPE):
        raise problems.not_acceptable()
    viewer = Viewer(request)
    order = _order(request, viewer)
    close_connections()
    if all(_is_done(sight, order) for sight, _ in order.jobs.values()):
        return HttpResponse(status=204)
    offer: Handoff | None = request.scope.get(OFFER)
    if offer is None or offer.seat:
        get_connection_limits().acquire(viewer.holder)
        order.holder = viewer.holder
    if offer is None:
        return EventStream(order)
    headers = {**HEADERS, MARK: offer.take(order)}
    return HttpResponse(content_type=CONTENT_TYPE, headers=headers)


def _order(request: HttpRequest, viewer: Viewer) -> Subscription:
    """Return what the request may follow, of what it asks for.

    Raises:
        Problem: 404 if that is nothing; 501 for jobs that no database keeps.
    """
    ids = parse_ids(request.GET.get("ids", ""))
    readable = viewer.readable(ids)
    if not readable:
        raise problems.not_found()
    jobs = [job for job, _ in readable.values()]
    if any(job_database(job) is None for job in jobs):
        raise problems.no_stream()
    details = find_details(jobs)
    return Subscription(
        jobs={
            pk: (
                RenderedSnapshot(
                    JobSnapshot(pk, job, details[pk].failure), details[pk].queue_position
                ),
                granted,
            )
            for pk, (job, granted) in readable.items()
        },
        # How things stand for a job that has not begun for long is no version of it.
        known={
            pk: version
            for pk, version in _known(request).items()
            if pk not in details or details[pk].queue_position is None
        },
        missing=[str(pk) for pk in ids if pk not in readable],
        wording=Wording.current(),
        session=getattr(getattr(request, "session", None), "session_key", None),
    )


def _known(request: HttpRequest) -> dict[UUID, int]:
    """Return the versions that the page has, as the id of the last event it read says."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("known", "")
    return {UUID(pk): int(version) for pk, version in _KNOWN.findall(text)}


def _is_done(sight: RenderedSnapshot, order: Subscription) -> bool:
    """Tell whether the page has the end of a job already."""
    return sight.seen.is_finished and order.known.get(sight.id, -1) >= (sight.version or 0)
