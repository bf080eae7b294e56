"""HTTP responses for jobs: content negotiation, validators and privacy headers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, HttpResponseNotModified, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import get_script_prefix
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags, url_has_allowed_host_and_scheme
from django.utils.log import log_response

from offload.exceptions import QueueUnavailable
from offload.live import problems
from offload.live.documents import job_document, poll_delay_ms
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
"""Value of Retry-After while the database does not respond."""


def job_view(*methods: str) -> Callable[[View], View]:
    """Restrict a view to HTTP methods, and answer refusals with problem documents.

    The view checks permissions itself, so it is exempt from LoginRequiredMiddleware. Its
    responses are private and are never cached.
    """

    def decorate(view: View) -> View:
        @login_not_required
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise problems.method_not_allowed(", ".join(methods))
                response = view(request, *args, **kwargs)
            except problems.Problem as problem:
                response = _refuse(request, problem)
            except TokenExpired:
                response = _refuse(request, problems.token_expired())
            except TokenRefused:
                response = _refuse(request, problems.token_refused())
            except QueueUnavailable:
                response = _refuse(request, problems.busy(DATABASE_RETRY_AFTER_SECONDS))
            return finalize_response(request, response)

        return wrapper

    return decorate


def _refuse(request: HttpRequest, problem: problems.Problem) -> HttpResponse:
    """Return the response of a problem."""
    return _log(request, problem.response())


def _log(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Log the response of a problem as a warning, whatever its status.

    Django would log 501 and 503 as errors, and mail each to ADMINS; any visitor can cause them.
    """
    log_response(
        "%s: %s",
        response.reason_phrase,
        request.path,
        response=response,
        request=request,
        level="warning",
    )
    return response


def finalize_response(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Add the privacy headers to a response, and keep the client's session cookie."""
    _keep_session_cookie(request)
    return add_privacy_headers(response)


def _keep_session_cookie(request: HttpRequest) -> None:
    """Keep Django from deleting the cookie of a session that no longer exists.

    Pages poll in the background, also while the user signs in again. When the response arrives,
    the browser may already have the cookie of the new session, and would delete it.
    """
    request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)


def add_privacy_headers(response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that keep a response from caches and from other sites."""
    for name, value in PRIVACY_HEADERS.items():
        response.headers.setdefault(name, value)
    patch_vary_headers(response, VARY)
    return response


def job_response(
    request: HttpRequest, job: Job, grants: Collection[str], *, status: int = 200
) -> HttpResponse:
    """Return a job's state: as JSON, as an HTML fragment for htmx, or by a redirect to its page.

    Args:
        request: the request to answer.
        job: its row.
        grants: what the reader may do with it.
        status: 202 after a change; a plain HTML form is then redirected to the job's page.
    """
    document = job_document(job, grants)
    page_url = document["links"]["page"]
    if status == 202 and page_url and prefers_html(request):
        return HttpResponseRedirect(page_url, status=303)
    if _is_htmx(request):
        context = widget_context(request, document, htmx=True)
        response = render(request, "offload/task_status.html", context, status=status)
    else:
        response = JsonResponse(document, status=status)
    return _add_validators(response, etag(job), document["poll_ms"])


def problem_response(request: HttpRequest, problem: problems.Problem) -> HttpResponse:
    """Return the response to a refused request: a page for a browser, else a problem document."""
    if prefers_html(request):
        context = {"problem": problem.document()}
        response = page_response(request, context, status=problem.status)
        for name, value in problem.headers.items():
            response.headers[name] = value
        _log(request, response)
    else:
        response = _refuse(request, problem)
    add_privacy_headers(response)
    return response


def page_response(
    request: HttpRequest, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Return the page of a job, or of a problem, with a link back to the site."""
    context = {**context, "back_url": _back_url(request)}
    return render(request, "offload/page.html", context, status=status)


def _back_url(request: HttpRequest) -> str:
    """Return the page of this site from which the visitor came, else the site's first page."""
    referer = request.headers.get("Referer", "")
    hosts = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(referer, hosts, require_https=request.is_secure())
    if is_ours and urlsplit(referer).path != request.path:
        return referer
    return get_script_prefix()


def job_list_response(content: dict[str, Any], tag: str) -> HttpResponse:
    """Return the documents of several jobs.

    Args:
        content: with the keys `items`, `missing` and `poll_ms`.
        tag: entity tag of the whole content.
    """
    return _add_validators(JsonResponse(content), tag, content["poll_ms"])


def job_not_modified(request: HttpRequest, job: Job) -> HttpResponse | None:
    """Return a 304 if the client has this version of the job."""
    tag = etag(job)
    if not has_current_tag(request, tag):
        return None
    return not_modified(tag, poll_delay_ms(job))


def not_modified(tag: str, poll_ms: int | None) -> HttpResponse:
    """Return a 304 for a client with the current entity tag."""
    return _add_validators(HttpResponseNotModified(), tag, poll_ms)


def has_current_tag(request: HttpRequest, tag: str) -> bool:
    """Return whether the client has the representation with this entity tag.

    Tags are compared weakly (RFC 9110, 13.1.2).
    """
    client_tags = [
        client_tag.removeprefix("W/")
        for client_tag in parse_etags(request.headers.get("If-None-Match", ""))
    ]
    return "*" in client_tags or tag.removeprefix("W/") in client_tags


def etag(job: Job) -> str:
    """Return the entity tag of a job's document; it changes with the job's version."""
    return f'W/"{job.pk}.{job.version}"'


def retry_after(milliseconds: int) -> str:
    """Return a delay as the value of the header Retry-After, in whole seconds."""
    return str(math.ceil(milliseconds / 1000))


def prefers_html(request: HttpRequest) -> bool:
    """Return whether a browser requests a page to show, and not a script or htmx."""
    if _is_htmx(request):
        return False
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def _is_htmx(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers


def _add_validators(response: HttpResponse, tag: str, poll_ms: int | None) -> HttpResponse:
    response.headers["ETag"] = tag
    if poll_ms is not None:
        response.headers["Retry-After"] = retry_after(poll_ms)
    return response
