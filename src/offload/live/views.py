"""The views of `offload.urls`. Each checks the permissions of `offload.live.access`."""

from __future__ import annotations

import hashlib
import logging
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.core.files import File
from django.db import connections, transaction
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    JsonResponse,
)
from django.http.response import HttpResponseBase
from django.tasks.exceptions import TaskResultDoesNotExist
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from offload.exceptions import InvalidJobState
from offload.lifecycle import JobState
from offload.live import problems
from offload.live.access import NO_GRANTS, Grants, Viewer
from offload.live.authentication import needs_no_csrf_token
from offload.live.connection_limits import get_connection_limits
from offload.live.display_options import display_options
from offload.live.documents import job_document, job_documents, poll_delay_ms
from offload.live.handoff import HANDOFF_HEADER, HANDOFF_KEY, Handoff
from offload.live.jobs import (
    find_jobs,
    has_expired,
    job_backend,
    job_database,
    job_result,
    return_value,
)
from offload.live.long_poll import HeldRequest, close_connections, requested_wait
from offload.live.queue_position import find_queue_positions
from offload.live.responses import (
    has_current_tag,
    job_list_response,
    job_not_modified,
    job_response,
    job_view,
    not_modified,
    page_response,
    prefers_html,
    retry_after,
)
from offload.live.tokens import TokenRefused
from offload.live.widget import widget_context
from offload.serialization import decode_strictly

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from offload.models import Job

MAX_IDS = 100
"""Jobs that one request may name."""

logger = logging.getLogger("offload.live")


def exempt_from_atomic_requests[F: Callable[..., Any]](view: F) -> F:
    """Exempt a view from ATOMIC_REQUESTS of all databases, which Django refuses for async views."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


@exempt_from_atomic_requests
@job_view("GET", "HEAD")
def status(request: HttpRequest, identifier: UUID) -> HttpResponse:
    """Return the status document of one job; with `Prefer: wait`, after the job has changed."""
    viewer = Viewer(request)
    job, granted = _get_job(viewer, identifier)
    response = job_not_modified(request, job)
    if response is None:
        return job_response(request, job, granted)
    handoff: Handoff | None = getattr(request, "scope", {}).get(HANDOFF_KEY)
    held = None if handoff is None else _hold(request, viewer, job)
    if handoff is not None and held is not None:
        response.headers[HANDOFF_HEADER] = handoff.accept(held, response.status_code)
    return response


def _hold(request: HttpRequest, viewer: Viewer, job: Job) -> HeldRequest | None:
    """Return the request for the server to hold; None if it must be answered at once.

    Raises:
        Problem: 429 or 503 if there are too many connections.
    """
    seconds = requested_wait(request)
    using = job_database(job)
    if not seconds or using is None or JobState(job.state).is_finished:
        return None
    connection = get_connection_limits().acquire(viewer.client)
    close_connections()
    held = HeldRequest(job, using, seconds, connection)
    if session_key := getattr(getattr(request, "session", None), "session_key", None):
        held.sessions.add(session_key)
    return held


@job_view("GET", "HEAD")
def job_list(request: HttpRequest) -> HttpResponse:
    """Return the documents of several jobs, and the ids of those that the client may not see."""
    ids = parse_ids(request.GET.get("ids", ""))
    readable = Viewer(request).readable(ids)
    jobs = [job for job, _ in readable.values()]
    missing = [str(pk) for pk in ids if pk not in readable]
    delays_ms = [delay for delay in map(poll_delay_ms, jobs) if delay is not None]
    poll_ms = min(delays_ms, default=None)
    tag = _list_tag(jobs, missing)
    if has_current_tag(request, tag):
        return not_modified(tag, poll_ms)
    items = list(job_documents(readable).values())
    return job_list_response({"items": items, "missing": missing, "poll_ms": poll_ms}, tag)


def parse_ids(text: str) -> list[UUID]:
    """Return the distinct ids of a query, in order.

    Raises:
        Problem: 400 for no ids, more than MAX_IDS, or something that is not an id.
    """
    texts = text.split(",", MAX_IDS)
    try:
        ids = [UUID(part.strip()) for part in texts[:MAX_IDS]]
    except ValueError:
        raise problems.bad_ids(MAX_IDS) from None
    if len(texts) > MAX_IDS:
        raise problems.bad_ids(MAX_IDS)
    return list(dict.fromkeys(ids))


def _list_tag(jobs: list[Job], missing: list[str]) -> str:
    """Return one entity tag for all documents; queue positions change without a new version."""
    positions = find_queue_positions(jobs)
    versions = [f"{job.pk}.{job.version}{positions.get(job.pk, '')}" for job in jobs]
    text = ",".join([*versions, "", *missing])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@csrf_exempt
@login_not_required
def cancel(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Cancel a job. No page of another site can send a token, so it replaces the CSRF check."""
    try:
        is_safe = needs_no_csrf_token(request)
    except TokenRefused:
        is_safe = True  # `_cancel` refuses it, too
    view = _cancel if is_safe else _cancel_in_session
    return view(request, identifier)


@job_view("POST")
def _cancel(request: HttpRequest, identifier: UUID) -> HttpResponse:
    job, granted = _get_job(Viewer(request), identifier, "cancel")
    try:
        job_backend(job).cancel(str(identifier))
    except InvalidJobState:
        if not prefers_html(request):
            raise problems.finished() from None
    except TaskResultDoesNotExist:  # pruned in between
        raise problems.not_found() from None
    if "status" not in granted:
        return HttpResponse(status=202)
    job = find_jobs([identifier]).get(identifier, job)
    return job_response(request, job, granted, status=202)


@job_view("POST")
@csrf_protect
def _cancel_in_session(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise problems.cross_site()
    return _cancel(request, identifier)


@job_view("GET", "HEAD")
def result(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Return the result of a job, as `expose_result` of its task allows."""
    job, _ = _get_job(Viewer(request), identifier, "result")
    state = JobState(job.state)
    if not state.is_finished:
        raise problems.unfinished(retry_after(poll_delay_ms(job) or 0))
    if state != JobState.SUCCESSFUL:
        raise problems.no_result()
    expose_result = display_options(job).expose_result
    if not callable(expose_result):
        return _json_response(return_value(job) or "null")
    try:
        return _result_response(expose_result(job_result(job)))
    except Http404:
        raise problems.not_found() from None
    except Exception:
        logger.exception("The expose_result function of %s failed.", job.task_path)
        raise problems.result_unavailable() from None


def _json_response(text: str) -> HttpResponse:
    """Respond with a return value as it is in the row.

    Raises:
        Problem: 500 if the row is damaged.
    """
    try:
        decode_strictly(text)
    except ValueError:
        raise problems.result_unavailable() from None
    return HttpResponse(text, content_type="application/json")


def _result_response(exposed: Any) -> HttpResponseBase:
    """Respond with the value of an `expose_result` function: a response, a file, or JSON."""
    if isinstance(exposed, HttpResponseBase):
        return exposed
    if isinstance(exposed, File):
        filename = PurePath(exposed.name or "").name
        return FileResponse(exposed, as_attachment=True, filename=filename)
    return JsonResponse(exposed, safe=False)


@job_view("GET", "HEAD")
@csrf_protect
def page(request: HttpRequest, identifier: UUID) -> HttpResponse:
    """Render a page about one job; it works without JavaScript."""
    try:
        job, granted = _get_job(Viewer(request), identifier)
    except problems.Problem as problem:
        context = {"problem": problem.document()}
        return page_response(request, context, status=problem.status)
    return page_response(request, widget_context(request, job_document(job, granted)))


def _get_job(viewer: Viewer, identifier: UUID, grant: str = "status") -> tuple[Job, Grants]:
    """Return a job, and what the client may do with it.

    Args:
        viewer: the client.
        identifier: of the job.
        grant: what the client must be allowed to do: "status", "result" or "cancel".

    Raises:
        Problem: 404 for any other job, existing or not; 410 if the client's own job was deleted.
        TokenRefused: if the request carries an invalid or expired token.
    """
    job, granted = viewer.visible([identifier]).get(identifier, (None, NO_GRANTS))
    if job is not None and grant in granted:
        return job, granted
    if job is None and viewer.may_learn_of(identifier) and has_expired(identifier):
        raise problems.gone()
    raise problems.not_found()
