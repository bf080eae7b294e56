"""Views that do nothing, and views that enqueue a job."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from load.tasks import noop


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"ok")


async def empty_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"ok")


def enqueue(request: HttpRequest) -> HttpResponse:
    return HttpResponse(noop.enqueue().id)


async def enqueue_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await noop.aenqueue()).id)
