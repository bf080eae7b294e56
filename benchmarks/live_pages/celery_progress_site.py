"""The same page with Celery and celery-progress, used as in the README of celery-progress.

Settings, task and URLs in one file, for an environment of its own:
`celery -A live_pages.celery_progress_site` and `live_pages.celery_progress_site:django`.
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

from live_pages.base_settings import *
from live_pages.base_settings import APPS
from live_pages.workload import CLICK_ARGUMENTS, MESSAGE, ROWS, requested_jobs

ROOT_URLCONF = "live_pages.celery_progress_site"
INSTALLED_APPS = [*APPS, "celery_progress"]

HOST = os.environ.get("OFFLOAD_REDIS_HOST", "127.0.0.1")
PORT = os.environ.get("OFFLOAD_REDIS_PORT", "63799")

app = Celery("live_pages", broker=f"redis://{HOST}:{PORT}/0", backend=f"redis://{HOST}:{PORT}/0")
app.conf.task_default_queue = "offload_live_celery"
app.conf.result_expires = 600  # leave nothing behind


@app.task(bind=True)
def count(self: object, steps: int, pause: float) -> None:
    recorder = ProgressRecorder(self)
    for number in range(1, steps + 1):
        threading.Event().wait(pause)
        recorder.set_progress(number, steps, MESSAGE)


def jobs(request: HttpRequest) -> HttpResponse:
    calls = [CLICK_ARGUMENTS] if request.method == "POST" else requested_jobs(request.GET)
    ids = [count.delay(*arguments).id for arguments in calls]
    return render(request, "live_pages/celery_progress.html", {"ids": ids, "rows": ROWS})


urlpatterns = [
    path("jobs/", jobs),
    path("celery-progress/", include("celery_progress.urls")),
]


def __getattr__(name: str) -> object:
    """Create the application only for web servers, as the worker does not need it."""
    if name == "django":
        return ASGIStaticFilesHandler(get_asgi_application())
    raise AttributeError(name)
