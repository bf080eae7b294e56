"""Pages that start jobs and show them: by our element, a WebSocket, and a stream by hand."""

from __future__ import annotations

import random

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

import offload
from audience.tasks import count

STARTED = (40, 0.05)
"""What a click starts: steps, and seconds before each."""
ROWS = range(500)
"""What else is on the page."""


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
    """Start as many jobs as the query says, and show them.

    With `spread` they end one after the other, about so many seconds apart.
    """
    jobs, steps = int(request.GET.get("jobs", 0)), int(request.GET.get("steps", 1))
    pause, spread = float(request.GET.get("pause", 0)), float(request.GET.get("spread", 0))
    pauses = [pause + spread * (number + random.random()) for number in range(jobs)]
    results = count.enqueue_many([((steps, each), {}) for each in pauses]) if jobs else []
    shown = {
        "ids": [result.id for result in results],
        "rows": ROWS,
        "transport": request.GET.get("transport", "auto"),
    }
    return render(request, f"audience/{name}.html", shown)
