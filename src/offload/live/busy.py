"""The response of a view whose queue takes no more jobs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from offload.exceptions import QueueFull, QueueUnavailable
from offload.live import problems
from offload.live.responses import DATABASE_RETRY_AFTER_SECONDS, problem_response

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def busy(request: HttpRequest, error: QueueFull | QueueUnavailable) -> HttpResponseBase:
    """Return the response of a view that could not enqueue a job: 503, with `Retry-After`.

    A browser gets a page, and a script a problem document.

        try:
            result = build_report.enqueue(request.user.pk)
        except QueueFull as error:
            return offload.busy(request, error)

    Args:
        request: the request to answer.
        error: what `enqueue` raised.

    Raises:
        TypeError: for arguments of other types.
    """
    _require_types(request, error)
    if isinstance(error, QueueFull):
        problem = problems.queue_full(math.ceil(error.retry_after))
    else:
        problem = problems.busy(DATABASE_RETRY_AFTER_SECONDS)
    return problem_response(request, problem)


def _require_types(request: Any, error: Any) -> None:
    if not isinstance(error, QueueFull | QueueUnavailable) or not hasattr(request, "headers"):
        raise TypeError(
            "busy() takes the request and the QueueFull that enqueue() raised, not "
            f"{request!r} and {error!r}."
        )
