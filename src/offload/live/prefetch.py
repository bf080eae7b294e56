"""Status documents for a page that shows many jobs: looked up together, shown one by one."""

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
"""A result, or its id."""
type Document = dict[str, Any]

REQUEST_ATTRIBUTE = "_offload_documents"
"""Attribute of a request: the documents of jobs that were looked up, None of those unseen."""


def prefetch_status(request: HttpRequest, results: Iterable[ResultOrId]) -> None:
    """Look up all jobs that `{% task_status %}` will show in this page, by one query.

        def orders(request):
            orders = Order.objects.filter(customer=request.user)
            prefetch_status(request, [order.job for order in orders])
            return render(request, "shop/orders.html", {"orders": orders})

    Args:
        request: of who reads the page, with which it is rendered.
        results: what `enqueue` returned, or ids.

    Raises:
        TokenRefused: if the request carries a token that is not, or no longer, good.
    """
    found = _find_documents(request, [_id_of(result) for result in results])
    setattr(request, REQUEST_ATTRIBUTE, getattr(request, REQUEST_ATTRIBUTE, {}) | found)


def document_for(request: HttpRequest, result: ResultOrId) -> Document | None:
    """Return the status document of a job, looked up now if it was not before; None if unseen."""
    identifier = _id_of(result)
    kept: dict[UUID, Document | None] = getattr(request, REQUEST_ATTRIBUTE, {})
    return (kept if identifier in kept else _find_documents(request, [identifier]))[identifier]


def _find_documents(request: HttpRequest, ids: Sequence[UUID]) -> dict[UUID, Document | None]:
    return dict.fromkeys(ids) | job_documents(Viewer(request).readable(ids))


def _id_of(result: ResultOrId) -> UUID:
    return UUID(str(getattr(result, "id", result)))
