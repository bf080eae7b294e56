"""Pages that start jobs and show them: by our element, a WebSocket, and a stream by hand."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

import offload
from audience.tasks import count
from audience.work import ROWS, STARTED, asked


def element(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return offload.accepted(request, count.enqueue(*STARTED))
    return _page(request, "element")


def by_hand(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse({"id": count.enqueue(*STARTED).id}, status=202)
    return _page(request, "by_hand")


def socket(request: HttpRequest) -> HttpResponse:
    return _page(request, "socket")


def _page(request: HttpRequest, name: str) -> HttpResponse:
    """Start as many jobs as the query says, and show them."""
    calls = [(work, {}) for work in asked(request.GET)]
    results = count.enqueue_many(calls) if calls else []
    shown = {
        "ids": [result.id for result in results],
        "rows": ROWS,
        "transport": request.GET.get("transport", "auto"),
    }
    return render(request, f"audience/{name}.html", shown)
