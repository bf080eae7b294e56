"""The answer to a request that has enqueued a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import reverse

from offload.live.access import grants
from offload.live.jobs import find_jobs
from offload.live.responses import add_privacy_headers, job_response

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.tasks import TaskResult

logger = logging.getLogger("offload.live")


def accepted(request: HttpRequest, result: TaskResult[..., Any]) -> HttpResponse:
    """Return what a view answers that has enqueued a job: the job's state, and where to ask again.

    A script gets 202 with the status document, htmx 202 with a fragment of HTML, and a plain
    HTML form is sent to the job's page (303).

        def start(request):
            return offload.accepted(request, build_report.enqueue(request.user.pk))

    Args:
        request: what is answered.
        result: what `enqueue` returned.

    Raises:
        TaskResultDoesNotExist: if the job is not there.
        NoReverseMatch: if the project's URLs do not include `offload.urls`.
    """
    location = reverse("offload:status", args=[result.id])
    job = find_jobs([UUID(result.id)]).get(UUID(result.id))
    if job is None:
        raise TaskResultDoesNotExist(f"There is no job {result.id}.")
    granted = grants(request, job)
    if "status" not in granted:
        logger.warning(
            "Who started the job %s may not see it, and will get 404: its visibility is for "
            "others, or the request has neither a user nor a session, or OffloadMiddleware is "
            "missing.",
            result.id,
        )
    response = job_response(request, job, granted | {"status"}, status=202)
    if response.status_code == 202:
        response.headers["Location"] = location
        response.headers["Content-Location"] = location
        response.headers.setdefault("Retry-After", "1")
    add_privacy_headers(response)
    return response


async def aaccepted(request: HttpRequest, result: TaskResult[..., Any]) -> HttpResponse:
    """Do what `accepted` does."""
    return await sync_to_async(accepted)(request, result)
