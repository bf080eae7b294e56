"""The same page with Celery and celery-progress, in an environment of its own, as its README says.

Settings, task and URLs in one file; `celery -A audience.polled` and `audience.polled:django`.
"""

from __future__ import annotations

import os
import threading

from celery import Celery
from celery_progress.backend import ProgressRecorder
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from audience.startproject import *
from audience.startproject import APPS
from audience.work import MESSAGE, ROWS, STARTED, asked

ROOT_URLCONF = "audience.polled"
INSTALLED_APPS = [*APPS, "celery_progress"]

HOST = os.environ.get("OFFLOAD_REDIS_HOST", "127.0.0.1")
PORT = os.environ.get("OFFLOAD_REDIS_PORT", "63799")

app = Celery("audience", broker=f"redis://{HOST}:{PORT}/0", backend=f"redis://{HOST}:{PORT}/0")
app.conf.task_default_queue = "offload_live_celery"
app.conf.result_expires = 600  # so that nothing is left behind


@app.task(bind=True)
def count(self: object, steps: int, pause: float) -> None:
    recorder = ProgressRecorder(self)
    for number in range(1, steps + 1):
        threading.Event().wait(pause)
        recorder.set_progress(number, steps, MESSAGE)


def polled(request: HttpRequest) -> HttpResponse:
    calls = [STARTED] if request.method == "POST" else asked(request.GET)
    ids = [count.delay(*work).id for work in calls]
    return render(request, "audience/polled.html", {"ids": ids, "rows": ROWS})


urlpatterns = [
    path("polled/", polled),
    path("celery-progress/", include("celery_progress.urls")),
]


def __getattr__(name: str) -> object:
    """Make the application when a web server asks for it: the worker needs none."""
    if name == "django":
        return ASGIStaticFilesHandler(get_asgi_application())
    raise AttributeError(name)
