"""Results as HTML: on the lab's page, and on a page of their own."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.tasks import TaskResult
from django.template.loader import render_to_string


def page_of(name: str) -> Callable[[TaskResult], HttpResponse]:
    """Return a function that renders the result page of this experiment."""

    def page(result: TaskResult) -> HttpResponse:
        context = {"name": name, "outcome": outcome(name, result.return_value)}
        return HttpResponse(render_to_string("shop/result.html", context))

    return page


def outcome(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return the context of `shop/outcome.html` for a result."""
    return {
        "template": f"shop/outcomes/{name}.html",
        "value": value,
        "failed": "error" in value,
    }
