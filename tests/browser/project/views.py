"""Pages that show jobs, as a project would write them, and doors for the tests."""

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
from offload.models import Job, Worker
from offload.store import get_store
from offload.uuid7 import new_id
from tests.browser.project.tasks import obey


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
    """Start a job that carries out orders."""
    return JsonResponse({"id": obey.enqueue(request.GET["orders"]).id})


def age(request: HttpRequest) -> HttpResponse:
    """Let a job have waited for some minutes."""
    since = timezone.now() - timedelta(minutes=int(request.GET["minutes"]))
    return JsonResponse({"aged": Job.objects.filter(pk=request.GET["id"]).update(run_after=since)})


def staff(request: HttpRequest) -> HttpResponse:
    """Let the queue have an engine that never comes to run anything; or have it no more."""
    Worker.objects.filter(hostname="busy").delete()
    if "busy" in request.GET:
        engine = Worker(
            id=new_id(), backend="default", hostname="busy", pid=1, processes=1, threads=1
        )
        get_store("default").register(engine, lease=60)
    return HttpResponse("staffed")


def count(request: HttpRequest) -> HttpResponse:
    unfinished = Job.objects.filter(finished_at=None).count()
    return JsonResponse({"jobs": Job.objects.count(), "unfinished": unfinished})


def show(request: HttpRequest) -> HttpResponse:
    """Show jobs, in a page that looks as asked for."""
    return render(request, "project/show.html", _shown(request))


@csp_override({"default-src": [CSP.SELF]})
def with_htmx(request: HttpRequest) -> HttpResponse:
    """Show jobs to htmx, which writes HTML and so needs a milder policy."""
    return render(request, "project/with_htmx.html", _shown(request))


def in_admin(request: HttpRequest) -> HttpResponse:
    return render(
        request, "project/admin.html", {**admin.site.each_context(request), **_shown(request)}
    )


def _shown(request: HttpRequest) -> dict[str, object]:
    query = request.GET.dict()
    ids = [each for each in query.pop("ids", "").split(",") if each]
    return {"ids": ids, "style": query.pop("style", ""), "theme": query.pop("theme", ""), **query}


@offload.idempotent
def form(request: HttpRequest) -> HttpResponse:
    """Show a form; start what it asks for."""
    if request.method == "POST":
        if not request.POST["orders"]:
            return render(request, "project/form.html", {"error": "Say what to do."})
        return offload.accepted(request, obey.enqueue(request.POST["orders"]))
    return render(request, "project/form.html")
