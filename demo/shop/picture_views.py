"""The page of the picture import: a workflow, with its own state and that of its parts."""

from typing import Any, NamedTuple

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.tasks import TaskResultStatus
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

import offload
from offload import InvalidJobState, OffloadResult, WorkflowResult
from offload.live import prefetch_status
from shop import pictures, tasks
from shop.cards import keep_job, last_job, visitor_of
from shop.models import PictureImport

NAME = "pictures"
DAMAGED = 7
AT_ONCE = 3


class Part(NamedTuple):
    """One job of an import, its number, and the picture that it makes."""

    job: OffloadResult
    number: int | None
    picture: str

    @property
    def is_done(self) -> bool:
        """Whether the picture exists."""
        return self.job.status == TaskResultStatus.SUCCESSFUL


@never_cache
def show(request: HttpRequest) -> HttpResponse:
    """Show the visitor's last import, each part with its own state."""
    flow = last_job(visitor_of(request), NAME)
    parts = [part_of(job) for job in flow.nodes()] if flow else []
    prefetch_status(request, [flow, *(part.job for part in parts)])
    context = {"flow": flow, "parts": parts, "result": result_of(flow), "damaged": DAMAGED}
    context["has_failed"] = flow and flow.status == TaskResultStatus.FAILED
    return render(request, "shop/pictures.html", context)


@require_POST
@offload.idempotent
def start(request: HttpRequest) -> HttpResponse:
    """Enqueue the import: a job that waits for nothing, and all that wait for it."""
    key = PictureImport.objects.create().pk
    damaged = DAMAGED if "damaged" in request.POST else None
    with offload.workflow("Import of 12 pictures") as flow:
        received = flow.add(tasks.receive_pictures, key, damaged)
        thumbnails = flow.map(tasks.make_thumbnail, pictures.NUMBERS, import_id=key)
        thumbnails.after(received).at_once(AT_ONCE)
        flow.returns(flow.add(tasks.make_sheet, thumbnails, import_id=key))
    keep_job(request, NAME, flow.result)
    return offload.accepted(request, flow.result)


@require_POST
def retry(request: HttpRequest) -> HttpResponse:
    """Repair the damaged picture, and run the parts again that did not succeed."""
    flow = last_job(visitor_of(request), NAME)
    if flow is None:
        raise BadRequest("There is no import to run again.")
    pictures.repair(flow)
    try:
        flow.retry()
    except InvalidJobState as error:
        raise BadRequest("Only an import that has failed can run again.") from error
    return offload.accepted(request, flow)


def part_of(job: OffloadResult) -> Part:
    """Return a part of an import with the picture that it makes, if it makes one."""
    if job.task.name == "receive_pictures":
        return Part(job, None, "")
    files = PictureImport(pk=job.kwargs["import_id"])
    number = job.args[0] if job.task.name == "make_thumbnail" else None
    return Part(job, number, files.url(f"{number or 'sheet'}.jpg"))


def result_of(flow: WorkflowResult | None) -> dict[str, Any] | None:
    """Return the pictures of an import that has succeeded."""
    is_done = flow and flow.status == TaskResultStatus.SUCCESSFUL
    return flow.return_value if is_done else None
