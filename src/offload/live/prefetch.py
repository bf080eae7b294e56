"""Status documents for a page with many jobs: queried together, rendered one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.live.access import Viewer
from offload.live.documents import job_documents
from offload.live.jobs import find_jobs, job_id
from offload.owners import begin_session, visitor_name

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.tasks import TaskResult

type ResultOrId = TaskResult[..., Any] | UUID | str
type Document = dict[str, Any]

REQUEST_ATTRIBUTE = "_offload_documents"
"""Attribute of a request with the prefetched documents by id; None for jobs it may not see."""


def prefetch_status(request: HttpRequest, results: Iterable[ResultOrId]) -> None:
    """Query all jobs that `{% task_status %}` will show in a page at once.

        def orders(request):
            orders = Order.objects.filter(customer=request.user)
            prefetch_status(request, [order.job for order in orders])
            return render(request, "shop/orders.html", {"orders": orders})

    Args:
        request: the request with which the page is rendered.
        results: what `enqueue` returned, or ids; other values, such as None, are ignored.

    Raises:
        TokenRefused: if the request carries an invalid or expired token.
    """
    ids = [identifier for identifier in map(job_id, results) if identifier is not None]
    documents = _find_documents(request, ids)
    setattr(request, REQUEST_ATTRIBUTE, _prefetched(request) | documents)


def document_for(request: HttpRequest, result: ResultOrId | None) -> Document | None:
    """Return the status document of a job, queried now if it was not prefetched.

    None if the request may not see the job, or `result` names none: a template passes "" for a
    variable that does not exist.
    """
    identifier = job_id(result)
    if identifier is None:
        return None
    documents = _prefetched(request)
    if identifier not in documents:
        documents = _find_documents(request, [identifier])
    return documents[identifier]


def _prefetched(request: HttpRequest) -> dict[UUID, Document | None]:
    documents: dict[UUID, Document | None] = getattr(request, REQUEST_ATTRIBUTE, {})
    return documents


def _find_documents(request: HttpRequest, ids: Sequence[UUID]) -> dict[UUID, Document | None]:
    if visitor_name(request):  # it has enqueued jobs in this request, maybe these
        begin_session(request, {job.owner for job in find_jobs(ids).values()})
    return dict.fromkeys(ids) | job_documents(Viewer(request).readable(ids))
