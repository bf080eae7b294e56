"""Pages that show jobs, as a project would write them, and URLs that tests use."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override

import offload
from offload.live.tokens import make_token
from offload.models import Job, Worker
from offload.store import get_store
from offload.uuid7 import new_id
from tests.browser.project import tasks
from tests.browser.project.tasks import controlled


def sign_in(request: HttpRequest) -> HttpResponse:
    user, _ = get_user_model().objects.get_or_create(
        username=request.GET["name"], defaults={"is_staff": True, "is_superuser": True}
    )
    login(request, user)
    return HttpResponse("Welcome")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("Goodbye")


def enqueue(request: HttpRequest) -> HttpResponse:
    """Enqueue a job that the test controls."""
    task = getattr(tasks, request.GET["task"])
    return JsonResponse({"id": task.enqueue(request.GET["control"]).id})


def start_import(request: HttpRequest) -> HttpResponse:
    """Enqueue a workflow of four parts, the first of which the test controls."""
    with offload.workflow("Picture import") as flow:
        first = flow.add(controlled, request.GET["control"])
        others = flow.map(tasks.at_once, ["a", "b"])
        last = flow.add(tasks.merge, first, others).named("merge")
        flow.returns(last)
    part = flow.result.node("merge")
    return JsonResponse({"whole": flow.result.id, "part": part.id})


def token(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"token": make_token([request.GET["id"]])})


def backdate(request: HttpRequest) -> HttpResponse:
    """Backdate a job, as if it had been waiting for some minutes."""
    since = timezone.now() - timedelta(minutes=int(request.GET["minutes"]))
    backdated = Job.objects.filter(pk=request.GET["id"]).update(run_after=since)
    return JsonResponse({"backdated": backdated})


def busy_worker(request: HttpRequest) -> HttpResponse:
    """Register a busy worker, which never runs a job, or delete it."""
    Worker.objects.filter(hostname="busy").delete()
    if "register" in request.GET:
        worker = Worker(
            id=new_id(), backend="default", hostname="busy", pid=1, processes=1, threads=1
        )
        get_store("default").register(worker, lease=60)
    return HttpResponse()


def count(request: HttpRequest) -> HttpResponse:
    unfinished = Job.objects.filter(finished_at=None).count()
    return JsonResponse({"jobs": Job.objects.count(), "unfinished": unfinished})


def show(request: HttpRequest) -> HttpResponse:
    """Show jobs in a page, with the style and attributes of the query."""
    return render(request, "project/show.html", _page_context(request))


@csp_override({"default-src": [CSP.SELF]})
def with_htmx(request: HttpRequest) -> HttpResponse:
    """Show jobs with htmx, which writes HTML and needs a weaker policy."""
    return render(request, "project/with_htmx.html", _page_context(request))


def in_admin(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "project/admin.html",
        {**admin.site.each_context(request), **_page_context(request)},
    )


def _page_context(request: HttpRequest) -> dict[str, object]:
    query = request.GET.dict()
    ids = [each for each in query.pop("ids", "").split(",") if each]
    # The page prefers the WebSocket, not one of its elements.
    media = query.pop("transport") if query.get("transport") == "websocket" else ""
    return {
        "ids": ids,
        "media": media,
        "style": query.pop("style", ""),
        "theme": query.pop("theme", ""),
        **query,
    }


@offload.idempotent
def form(request: HttpRequest) -> HttpResponse:
    """Show a form that enqueues a job."""
    if request.method == "POST":
        if not request.POST["control"]:
            return render(request, "project/form.html", {"error": "Say what to do."})
        return offload.accepted(request, controlled.enqueue(request.POST["control"]))
    return render(request, "project/form.html")
