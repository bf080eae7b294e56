"""The response of a view that has enqueued a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.tasks import TaskResult
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import NoReverseMatch, get_urlconf, reverse

from offload.live import problems
from offload.live.access import NO_GRANTS, grants
from offload.live.jobs import find_jobs, job_id
from offload.live.refusals import explain_refusal
from offload.live.responses import add_privacy_headers, job_response, problem_response
from offload.live.tokens import TokenRefused
from offload.owners import begin_session

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("offload.live")


def accepted(request: HttpRequest, result: TaskResult[..., Any]) -> HttpResponse:
    """Return the response of a view that has enqueued a job: the job's state and its status URL.

    A script gets 202 with the status document, htmx gets 202 with an HTML fragment, and a plain
    HTML form is redirected to the job's page (303). A visitor without a session gets one, so
    that it can see the job.

    If the call has made no job, as one that holds its key exists already, the response is for that
    job; a client that may not see it gets 409.

        def start(request):
            return offload.accepted(request, build_report.enqueue(request.user.pk))

    Args:
        request: the request to answer.
        result: what `enqueue` returned.

    Raises:
        TaskResultDoesNotExist: if the job does not exist.
        ImproperlyConfigured: if the project's URLs do not include `offload.urls`.
        TypeError: for arguments of other types.
    """
    _require_types(request, result)
    identifier = job_id(result)
    status_url = _status_url(str(identifier))
    job = None if identifier is None else find_jobs([identifier]).get(identifier)
    if job is None:
        raise TaskResultDoesNotExist(f"There is no job {identifier}.")
    begin_session(request, [job.owner])
    try:
        granted = grants(request, job)
    except TokenRefused:  # the view has accepted the request nevertheless
        granted = NO_GRANTS
    if "status" not in granted and not getattr(result, "is_new", True):
        return problem_response(request, problems.already_enqueued())
    if "status" not in granted:
        logger.warning(
            "The client that enqueued job %s will get 404 for it: %s",
            identifier,
            explain_refusal(request, job),
        )
    response = job_response(request, job, granted | {"status"}, status=202)
    if response.status_code == 202:
        response.headers["Location"] = status_url
        response.headers["Content-Location"] = status_url
        response.headers.setdefault("Retry-After", "1")
    add_privacy_headers(response)
    return response


def _status_url(identifier: str) -> str:
    try:
        return reverse("offload:status", args=[identifier])
    except NoReverseMatch as error:
        raise ImproperlyConfigured(
            "The project's URLs do not include those of django-offload, at which the browser "
            f"follows a job. Add to urlpatterns in {get_urlconf() or settings.ROOT_URLCONF}: "
            'path("tasks/", include("offload.urls"))'
        ) from error


def _require_types(request: Any, result: Any) -> None:
    is_result = isinstance(result, TaskResult) or hasattr(result, "job_id")
    if not is_result or not hasattr(request, "headers"):
        raise TypeError(
            "accepted() takes the request and the result that enqueue() returned, not "
            f"{request!r} and {result!r}."
        )


async def aaccepted(request: HttpRequest, result: TaskResult[..., Any]) -> HttpResponse:
    """Do what `accepted` does."""
    return await sync_to_async(accepted)(request, result)
