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
from offload.live.documents import pace, retry_after
from offload.live.jobs import backend_of, find_jobs, has_expired, result_of
from offload.live.long_poll import free_connections, wait_for_news, wanted_wait
from offload.live.queue_position import QueuePosition, find_queue_positions
from offload.live.responses import (
    all_told,
    describe,
    outward,
    prefers_html,
    send_out,
    tell,
    told,
    unchanged,
    unchanged_job,
)
from offload.live.task_options import exposed_by
from offload.live.tokens import TokenRefused, carries_token
from offload.live.widget import element

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from offload.models import Job

MOST_IDS = 100
"""Jobs that one request may ask for."""

logger = logging.getLogger("offload.live")


def outside_transactions[F: Callable[..., Any]](view: F) -> F:
    """Exempt a view from ATOMIC_REQUESTS of all databases: Django refuses async views else."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


@outside_transactions
@login_not_required
async def status(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Answer with the status document of one job, if need be when it changes."""
    applied = 0
    if seconds := wanted_wait(request):
        try:
            applied = await _hold(request, identifier, seconds)
        except problems.Problem as problem:
            return send_out(request, problem.response())
    response: HttpResponseBase = await sync_to_async(_status)(request, identifier)
    if applied:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response


@outward("GET", "HEAD")
def _status(request: HttpRequest, identifier: UUID) -> HttpResponse:
    job, granted = _require(request, identifier)
    return unchanged_job(request, job) or describe(request, job, granted)


async def _hold(request: HttpRequest, identifier: UUID, seconds: int) -> int:
    """Wait for news if who asks knows the newest version; return for how long it was granted."""
    known = await sync_to_async(_known)(request, identifier)
    if known is None:
        return 0
    job, using, holder = known
    with get_connection_limits().taken_by(holder):
        await wait_for_news(job, using, seconds)
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
    backend = backend_of(job)
    has_news = JobState(job.state).is_finished or unchanged_job(request, job) is None
    if has_news or "status" not in granted or not backend.stores_rows:
        return None
    free_connections()
    return job, backend.settings.database, viewer.holder


@outward("GET", "HEAD")
def several(request: HttpRequest) -> HttpResponse:
    """Answer with the documents of several jobs, and which of them are not to be seen."""
    ids = parse_ids(request.GET.get("ids", ""))
    seen = {
        pk: (job, granted)
        for pk, (job, granted) in Viewer(request).visible(ids).items()
        if "status" in granted
    }
    jobs = [seen[pk][0] for pk in ids if pk in seen]
    missing = [str(pk) for pk in ids if pk not in seen]
    paces = [each for each in map(pace, jobs) if each is not None]
    outlooks = find_queue_positions(jobs)
    tag = _tag_of(jobs, missing, outlooks)
    same = unchanged(request, tag, min(paces, default=None))
    if same is not None:
        return same
    items = list(all_told({job.pk: seen[job.pk] for job in jobs}).values())
    return tell({"items": items, "missing": missing, "poll_ms": min(paces, default=None)}, tag)


def parse_ids(text: str) -> list[UUID]:
    """Return the ids in a query, each once, in order.

    Raises:
        Problem: 400 for none, too many, or what is no id.
    """
    texts = text.split(",", MOST_IDS)
    try:
        ids = list(dict.fromkeys(UUID(each.strip()) for each in texts[:MOST_IDS]))
    except ValueError:
        raise problems.bad_ids(MOST_IDS) from None
    if len(texts) > MOST_IDS:
        raise problems.bad_ids(MOST_IDS)
    return ids


def _tag_of(jobs: list[Job], missing: list[str], outlooks: dict[UUID, QueuePosition]) -> str:
    known = (f"{job.pk}.{job.version}{outlooks.get(job.pk, '')}" for job in jobs)
    text = ",".join([*known, "", *missing])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@csrf_exempt
@login_not_required
def cancel(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Cancel a job. A token in a header is proof enough that no other site's page asks."""
    view = _cancel if carries_token(request) else _cancel_in_session
    return view(request, identifier)


@outward("POST")
def _cancel(request: HttpRequest, identifier: UUID) -> HttpResponse:
    job, granted = _require(request, identifier, "cancel")
    try:
        backend_of(job).cancel(str(identifier))
    except InvalidJobState:
        if not prefers_html(request):
            raise problems.finished() from None
    except TaskResultDoesNotExist:  # pruned meanwhile
        raise problems.not_found() from None
    return describe(request, find_jobs([identifier]).get(identifier, job), granted, status=202)


@outward("POST")
@csrf_protect
def _cancel_in_session(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise problems.cross_site()
    return _cancel(request, identifier)


@outward("GET", "HEAD")
def result(request: HttpRequest, identifier: UUID) -> HttpResponseBase:
    """Answer with what a job returned, if its task's author shows it."""
    job, _ = _require(request, identifier, "result")
    state = JobState(job.state)
    if not state.is_finished:
        raise problems.unfinished(retry_after(pace(job) or 0))
    if state != JobState.SUCCESSFUL:
        raise problems.no_result()
    exposed = exposed_by(job)
    if not callable(exposed):
        return HttpResponse(job.return_value, content_type="application/json")
    try:
        return _shown(exposed(result_of(job)))
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


@outward("GET", "HEAD")
@csrf_protect
def page(request: HttpRequest, identifier: UUID) -> HttpResponse:
    """Show a job to people, with or without JavaScript."""
    try:
        job, granted = _require(request, identifier)
    except problems.Problem as problem:
        paper = {"problem": problem.document()}
        return render(request, "offload/page.html", paper, status=problem.status)
    return render(request, "offload/page.html", element(request, told(job, granted)))


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
    if job is None and viewer.may_know_of(identifier) and has_expired(identifier):
        raise problems.gone()
    raise problems.not_found()
