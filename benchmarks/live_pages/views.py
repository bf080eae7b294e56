"""Pages that start jobs and show them: with `<task-status>`, a WebSocket, and the SSE view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

import offload
from live_pages.tasks import count
from live_pages.workload import CLICK_ARGUMENTS, ROWS, requested_jobs


def element(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return offload.accepted(request, count.enqueue(*CLICK_ARGUMENTS))
    return _page(request, "element")


def sse_view(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse({"id": count.enqueue(*CLICK_ARGUMENTS).id}, status=202)
    return _page(request, "sse_view")


def websocket(request: HttpRequest) -> HttpResponse:
    return _page(request, "websocket")


def _page(request: HttpRequest, name: str) -> HttpResponse:
    """Start the jobs that the query asks for, and show them."""
    calls = [(arguments, {}) for arguments in requested_jobs(request.GET)]
    results = count.enqueue_many(calls) if calls else []
    context = {
        "ids": [result.id for result in results],
        "rows": ROWS,
        "transport": request.GET.get("transport", "auto"),
    }
    return render(request, f"live_pages/{name}.html", context)
