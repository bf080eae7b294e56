"""HTTP responses for jobs: content negotiation, validators and privacy headers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, HttpResponseNotModified, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

from offload.exceptions import QueueUnavailable
from offload.live import problems
from offload.live.documents import etag, job_document, poll_delay_ms, retry_after
from offload.live.tokens import TokenExpired, TokenRefused
from offload.live.widget import widget_context

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from offload.models import Job

type View = Callable[..., HttpResponseBase]

PRIVACY_HEADERS = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
VARY = ("Cookie", "Authorization", "Accept", "HX-Request")
DATABASE_RETRY_AFTER_SECONDS = 5
"""Seconds after which to try again when the database does not answer."""


def job_view(*methods: str) -> Callable[[View], View]:
    """Make a view one of ours: it answers these methods, refuses in our way, is cached nowhere.

    Whom it lets in it decides itself, so a site that asks everybody to sign in need not.
    """

    def decorate(view: View) -> View:
        @login_not_required
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise problems.method_not_allowed(", ".join(methods))
                response = view(request, *args, **kwargs)
            except problems.Problem as problem:
                response = problem.response()
            except TokenExpired:
                response = problems.token_expired().response()
            except TokenRefused:
                response = problems.token_refused().response()
            except QueueUnavailable:
                response = problems.busy(DATABASE_RETRY_AFTER_SECONDS).response()
            return finalize_response(request, response)

        return answer

    return decorate


def finalize_response(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return an answer as all of ours are: it is for who asked, and leaves the session alone."""
    _keep_session(request)
    return add_privacy_headers(response)


def _keep_session(request: HttpRequest) -> None:
    """Keep Django from having the browser delete the cookie of a session that has ended.

    Pages ask by themselves, also while somebody else signs in: when such an answer comes, the
    browser may have the cookie of the new session already, and would sign out who is in it.
    """
    request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)


def add_privacy_headers(response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that keep an answer to the one who asked."""
    for name, value in PRIVACY_HEADERS.items():
        response.headers.setdefault(name, value)
    patch_vary_headers(response, VARY)
    return response


def job_response(
    request: HttpRequest, job: Job, grants: Collection[str], *, status: int = 200
) -> HttpResponse:
    """Return a job's state: as JSON, as a fragment of HTML for htmx, or by its page.

    Args:
        request: what is answered.
        job: its row.
        grants: what the reader may do with it.
        status: 202 when something was begun; then a plain HTML form is sent to the job's page.
    """
    status_document = job_document(job, grants)
    if status == 202 and prefers_html(request) and status_document["links"]["page"]:
        return HttpResponseRedirect(status_document["links"]["page"], status=303)
    if "HX-Request" in request.headers:
        response = render(
            request,
            "offload/task_status.html",
            widget_context(request, status_document, htmx=True),
            status=status,
        )
    else:
        response = JsonResponse(status_document, status=status)
    return _tag(response, etag(job), status_document["poll_ms"])


def not_modified(request: HttpRequest, tag: str, poll_ms: int | None) -> HttpResponse | None:
    """Return 304 if who asked knows what is tagged so already."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in known or tag.removeprefix("W/") in (each.removeprefix("W/") for each in known):
        return _tag(HttpResponseNotModified(), tag, poll_ms)
    return None


def job_list_response(items: dict[str, Any], tag: str) -> HttpResponse:
    """Return a document of several jobs."""
    return _tag(JsonResponse(items), tag, items["poll_ms"])


def prefers_html(request: HttpRequest) -> bool:
    """Tell whether a browser sent it that wants a page: neither a script nor htmx."""
    if "HX-Request" in request.headers:
        return False
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def job_not_modified(request: HttpRequest, job: Job) -> HttpResponse | None:
    """Return 304 if who asked knows this version of the job."""
    return not_modified(request, etag(job), poll_delay_ms(job))


def _tag(response: HttpResponse, tag: str, poll_ms: int | None) -> HttpResponse:
    response.headers["ETag"] = tag
    if poll_ms is not None:
        response.headers["Retry-After"] = retry_after(poll_ms)
    return response
