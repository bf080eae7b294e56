"""Views that start jobs, as projects write them."""

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

import offload
from offload.registry import find_task


def start(request: HttpRequest) -> HttpResponse:
    """Enqueue the task that the query names."""
    task = find_task(f"tests.live.tasks.{request.GET['task']}")
    return offload.accepted(request, task.enqueue(*request.GET.getlist("with")))


async def start_async(request: HttpRequest) -> HttpResponse:
    task = find_task(f"tests.live.tasks.{request.GET['task']}")
    result = await task.aenqueue(*request.GET.getlist("with"))
    return await offload.aaccepted(request, result)


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("gone")


def idle(request: HttpRequest) -> HttpResponse:
    """Enqueue nothing."""
    return HttpResponse("nothing")
