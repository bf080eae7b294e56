"""Why a request may not see a job: for the developer, never for the visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.live.display_options import display_options
from offload.live.jobs import find_jobs, job_id

if TYPE_CHECKING:
    from django.http import HttpRequest

    from offload.models import Job


def explain_missing(request: HttpRequest, result: object) -> str:
    """Return why `{% task_status %}` shows no job, in a few words."""
    identifier = job_id(result)
    if identifier is None:
        return f"{result!r:.100} is neither what enqueue() returned nor an id."
    job = find_jobs([identifier]).get(identifier)
    if job is None:
        return "there is no such job. Was it pruned, or its transaction rolled back?"
    return explain_refusal(request, job)


def explain_refusal(request: HttpRequest, job: Job) -> str:
    """Return why a request may not see a job, in a few words."""
    visibility = display_options(job).visibility
    if visibility != "owner":
        return f"its task has visibility={visibility!r}, which excludes this request."
    if not hasattr(request, "session"):
        return "the visitor has no session. Is SessionMiddleware in MIDDLEWARE?"
    if job.owner.startswith("session:"):
        return "the visitor who started it has another session, or none."
    if job.owner:
        return "another user started it."
    if "Authorization" in request.headers:
        return "the client that started it has no user. Set OPTIONS['user_getter']."
    return "nobody owns it. Was OffloadMiddleware in MIDDLEWARE when a request started it?"
