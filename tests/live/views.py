"""Views of a project that starts jobs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import RequestContext, Template

import offload
from offload.live import prefetch_status
from offload.task_lookup import find_task
from tests.models import Effect

barrier = threading.Barrier(1)
"""Where concurrent views wait for each other."""


def start(request: HttpRequest) -> HttpResponse:
    """Enqueue the task that the query names."""
    task = find_task(f"tests.live.tasks.{request.GET['task']}")
    return offload.accepted(request, task.enqueue(*request.GET.getlist("with")))


async def start_async(request: HttpRequest) -> HttpResponse:
    task = find_task(f"tests.live.tasks.{request.GET['task']}")
    result = await task.aenqueue(*request.GET.getlist("with"))
    return await offload.aaccepted(request, result)


def page(request: HttpRequest) -> HttpResponse:
    """Render a page with the job that the query names, or a new one."""
    result = request.GET.get("id")
    if not result:
        with offload.acting_for(None) if "for" in request.GET else nullcontext():
            result = _private().enqueue()
    template = Template("{% load offload %}{% task_status result %}")
    return HttpResponse(template.render(RequestContext(request, {"result": result})))


def streamed_page(request: HttpRequest) -> StreamingHttpResponse:
    """Stream a page with a new job, after the middleware have finished."""
    context = RequestContext(request, {"result": _private().enqueue()})
    prefetch_status(request, [context["result"]])
    template = Template("{% load offload %}{% task_status result %}")
    return StreamingHttpResponse(template.render(context) for _ in range(1))


async def streamed_page_async(request: HttpRequest) -> StreamingHttpResponse:
    context = RequestContext(request, {"result": await _private().aenqueue()})
    await sync_to_async(prefetch_status)(request, [context["result"]])
    template = Template("{% load offload %}{% task_status result %}")

    async def stream() -> AsyncIterator[str]:
        yield template.render(context)

    return StreamingHttpResponse(stream())


def enqueue(request: HttpRequest) -> HttpResponse:
    """Enqueue a job, and show another one, if any."""
    _private().enqueue()
    return page(request) if "id" in request.GET else HttpResponse("thanks")


@offload.idempotent
def start_once(request: HttpRequest) -> HttpResponse:
    """Write a row and enqueue a job; with `race`, together with another request."""
    if "refuse" in request.POST:
        return HttpResponse(status=400)
    if "race" in request.GET:
        barrier.wait()
    if "visit" in request.GET:
        request.session["visits"] = 1
    Effect.objects.create(token=uuid4().hex)
    with acting_for(request.GET.get("for")):
        return offload.accepted(request, _private().enqueue())


@contextmanager
def acting_for(name: str | None) -> Iterator[None]:
    """Act for the user of this name; without one, for the request's."""
    if name is None:
        yield
    else:
        with offload.acting_for(User.objects.get(username=name)):
            yield


@offload.idempotent
async def start_once_async(request: HttpRequest) -> HttpResponse:
    if "race" in request.GET:
        await asyncio.to_thread(barrier.wait)
    await Effect.objects.acreate(token=uuid4().hex)
    return await offload.aaccepted(request, await _private().aenqueue())


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("gone")


def idle(request: HttpRequest) -> HttpResponse:
    """Enqueue nothing."""
    return HttpResponse("nothing")


def _private() -> Any:
    """Return the task; its module is imported late, so that system checks do not see it."""
    return find_task("tests.live.tasks.private")
