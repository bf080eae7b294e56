"""Status documents for a page with many jobs: queried together, rendered one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.live.access import Viewer
from offload.live.documents import job_documents

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
        results: what `enqueue` returned, or ids.

    Raises:
        TokenRefused: if the request carries an invalid or expired token.
    """
    documents = _find_documents(request, [_id_of(result) for result in results])
    setattr(request, REQUEST_ATTRIBUTE, _prefetched(request) | documents)


def document_for(request: HttpRequest, result: ResultOrId) -> Document | None:
    """Return the status document of a job, queried now if it was not prefetched.

    None if the request may not see the job.
    """
    identifier = _id_of(result)
    documents = _prefetched(request)
    if identifier not in documents:
        documents = _find_documents(request, [identifier])
    return documents[identifier]


def _prefetched(request: HttpRequest) -> dict[UUID, Document | None]:
    documents: dict[UUID, Document | None] = getattr(request, REQUEST_ATTRIBUTE, {})
    return documents


def _find_documents(request: HttpRequest, ids: Sequence[UUID]) -> dict[UUID, Document | None]:
    return dict.fromkeys(ids) | job_documents(Viewer(request).readable(ids))


def _id_of(result: ResultOrId) -> UUID:
    return UUID(str(getattr(result, "id", result)))
