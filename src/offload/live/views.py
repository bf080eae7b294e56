"""The views of `offload.urls`. Each decides by `offload.live.access` whom it answers."""

from __future__ import annotations

import hashlib
import logging
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
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
from django.shortcuts import render
from django.tasks.exceptions import TaskResultDoesNotExist
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from offload.exceptions import InvalidJobState, QueueUnavailable
from offload.lifecycle import JobState
from offload.live import problems
from offload.live.access import Grants, Viewer
from offload.live.connection_limits import get_connection_limits
from offload.live.documents import job_document, job_documents, poll_delay_ms, retry_after
from offload.live.jobs import find_jobs, has_expired, job_backend, job_result
from offload.live.long_poll import close_connections, requested_wait, wait_for_change
from offload.live.queue_position import QueuePosition, find_queue_positions
from offload.live.responses import (
    finalize_response,
    job_list_response,
    job_not_modified,
    job_response,
    job_view,
    not_modified,
    prefers_html,
)
from offload.live.task_options import task_options
from offload.live.tokens import TokenRefused, has_token
from offload.live.widget import widget_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from offload.models import Job

MAX_IDS = 100
"""Jobs that one request may ask for."""

logger = logging.getLogger("offload.live")


def exempt_from_atomic_requests[F: Callable[..., Any]](view: F) -> F:
    """Exempt a view from ATOMIC_REQUESTS of all databases: Django refuses async views else."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


@exempt_from_atomic_requests
@login_not_required
async def status(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Answer with the status document of one job, if need be when it changes."""
    applied = 0
    if seconds := requested_wait(request):
        try:
            applied = await _hold(request, identifier, seconds)
        except problems.Problem as problem:
            return finalize_response(request, problem.response())
    response: HttpResponseBase = await sync_to_async(_status)(request, identifier)
    if applied:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response


@job_view("GET", "HEAD")
def _status(request: HttpRequest, identifier: UUID) -> HttpResponse:
    job, granted = _require(request, identifier)
    return job_not_modified(request, job) or job_response(request, job, granted)


async def _hold(request: HttpRequest, identifier: UUID, seconds: int) -> int:
    """Wait for news if who asks knows the newest version; return for how long it was granted."""
    known = await sync_to_async(_known)(request, identifier)
    if known is None:
        return 0
    job, using, holder = known
    with get_connection_limits().acquired_by(holder):
        await wait_for_change(job, using, seconds)
    return seconds


def _known(request: HttpRequest, identifier: UUID) -> tuple[Job, str, str] | None:
    """Return a job of which there is no news, its database, and who asks.

    Of any other job the answer is at hand, and None is returned.
    """
    viewer = Viewer(request)
    try:
        job, granted = viewer.visible([identifier])[identifier]
    except (KeyError, TokenRefused, QueueUnavailable):
        return None
    backend = job_backend(job)
    has_news = JobState(job.state).is_finished or job_not_modified(request, job) is None
    if has_news or "status" not in granted or not backend.supports_live:
        return None
    close_connections()
    return job, backend.settings.database, viewer.holder


@job_view("GET", "HEAD")
def job_list(request: HttpRequest) -> HttpResponse:
    """Answer with the documents of several jobs, and which of them are not to be seen."""
    ids = parse_ids(request.GET.get("ids", ""))
    seen = {
        pk: (job, granted)
        for pk, (job, granted) in Viewer(request).visible(ids).items()
        if "status" in granted
    }
    jobs = [seen[pk][0] for pk in ids if pk in seen]
    missing = [str(pk) for pk in ids if pk not in seen]
    paces = [each for each in map(poll_delay_ms, jobs) if each is not None]
    queue_positions = find_queue_positions(jobs)
    tag = _tag_of(jobs, missing, queue_positions)
    same = not_modified(request, tag, min(paces, default=None))
    if same is not None:
        return same
    items = list(job_documents({job.pk: seen[job.pk] for job in jobs}).values())
    return job_list_response(
        {"items": items, "missing": missing, "poll_ms": min(paces, default=None)}, tag
    )


def parse_ids(text: str) -> list[UUID]:
    """Return the ids in a query, each once, in order.

    Raises:
        Problem: 400 for none, too many, or what is no id.
    """
    texts = text.split(",", MAX_IDS)
    try:
        ids = list(dict.fromkeys(UUID(each.strip()) for each in texts[:MAX_IDS]))
    except ValueError:
        raise problems.bad_ids(MAX_IDS) from None
    if len(texts) > MAX_IDS:
        raise problems.bad_ids(MAX_IDS)
    return ids


def _tag_of(jobs: list[Job], missing: list[str], queue_positions: dict[UUID, QueuePosition]) -> str:
    known = (f"{job.pk}.{job.version}{queue_positions.get(job.pk, '')}" for job in jobs)
    text = ",".join([*known, "", *missing])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@csrf_exempt
@login_not_required
def cancel(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Cancel a job. A token in a header is proof enough that no other site's page asks."""
    view = _cancel if has_token(request) else _cancel_in_session
    return view(request, identifier)


@job_view("POST")
def _cancel(request: HttpRequest, identifier: UUID) -> HttpResponse:
    job, granted = _require(request, identifier, "cancel")
    try:
        job_backend(job).cancel(str(identifier))
    except InvalidJobState:
        if not prefers_html(request):
            raise problems.finished() from None
    except TaskResultDoesNotExist:  # pruned meanwhile
        raise problems.not_found() from None
    return job_response(request, find_jobs([identifier]).get(identifier, job), granted, status=202)


@job_view("POST")
@csrf_protect
def _cancel_in_session(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise problems.cross_site()
    return _cancel(request, identifier)


@job_view("GET", "HEAD")
def result(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Answer with what a job returned, if its task's author shows it."""
    job, _ = _require(request, identifier, "result")
    state = JobState(job.state)
    if not state.is_finished:
        raise problems.unfinished(retry_after(poll_delay_ms(job) or 0))
    if state != JobState.SUCCESSFUL:
        raise problems.no_result()
    expose_result = task_options(job).expose_result
    if not callable(expose_result):
        return HttpResponse(job.return_value, content_type="application/json")
    try:
        return _shown(expose_result(job_result(job)))
    except Http404:
        raise problems.not_found() from None
    except Exception:
        logger.exception("The result of %s could not be shown.", job.task_path)
        raise problems.result_unavailable() from None


def _shown(value: Any) -> HttpResponseBase:
    """Return what the task's author made for the reader: an answer, a file to keep, or JSON."""
    if isinstance(value, HttpResponseBase):
        return value
    if isinstance(value, File):
        return FileResponse(value, as_attachment=True, filename=PurePath(value.name or "").name)
    return JsonResponse(value, safe=False)


@job_view("GET", "HEAD")
@csrf_protect
def page(request: HttpRequest, identifier: UUID) -> HttpResponse:
    """Show a job to people, with or without JavaScript."""
    try:
        job, granted = _require(request, identifier)
    except problems.Problem as problem:
        context = {"problem": problem.document()}
        return render(request, "offload/page.html", context, status=problem.status)
    return render(request, "offload/page.html", widget_context(request, job_document(job, granted)))


def _require(request: HttpRequest, identifier: UUID, right: str = "status") -> tuple[Job, Grants]:
    """Return a job for which the reader has a right.

    Raises:
        Problem: 404 for any other job, existing or not; 410 if the reader's own is gone.
        TokenRefused: for a token that is not good.
    """
    viewer = Viewer(request)
    job, granted = viewer.visible([identifier]).get(identifier, (None, frozenset()))
    if job is not None and right in granted:
        return job, granted
    if job is None and viewer.may_learn_of(identifier) and has_expired(identifier):
        raise problems.gone()
    raise problems.not_found()
