"""Status documents for a page that shows many jobs: looked up together, shown one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.live.access import visible
from offload.live.responses import all_told

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.tasks import TaskResult

type Named = TaskResult[..., Any] | UUID | str
"""A result, or its id."""
type Document = dict[str, Any]

KEPT = "_offload_documents"
"""Attribute of a request: the documents of jobs that were looked up, None of those unseen."""


def prefetch_status(request: HttpRequest, results: Iterable[Named]) -> None:
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
    found = _look_up(request, [_id_of(result) for result in results])
    setattr(request, KEPT, getattr(request, KEPT, {}) | found)


def document_for(request: HttpRequest, result: Named) -> Document | None:
    """Return the status document of a job, looked up now if it was not before; None if unseen."""
    identifier = _id_of(result)
    kept: dict[UUID, Document | None] = getattr(request, KEPT, {})
    return (kept if identifier in kept else _look_up(request, [identifier]))[identifier]


def _look_up(request: HttpRequest, ids: Sequence[UUID]) -> dict[UUID, Document | None]:
    seen = {pk: pair for pk, pair in visible(request, ids).items() if "status" in pair[1]}
    return dict.fromkeys(ids) | all_told(seen)


def _id_of(result: Named) -> UUID:
    return UUID(str(getattr(result, "id", result)))
