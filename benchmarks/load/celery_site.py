"""The same view with Celery on Redis: settings, task and URL, for an environment of its own."""

from __future__ import annotations

import os

from celery import Celery
from django.http import HttpRequest, HttpResponse
from django.urls import path

SECRET_KEY = "only for benchmarks"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "load.celery_site"
INSTALLED_APPS: list[str] = []
MIDDLEWARE: list[str] = []

HOST = os.environ.get("OFFLOAD_REDIS_HOST", "127.0.0.1")
PORT = os.environ.get("OFFLOAD_REDIS_PORT", "63799")
QUEUE = "offload_scale_celery"

app = Celery("load", broker=f"redis://{HOST}:{PORT}/0")
app.conf.task_default_queue = QUEUE
# Without results, which makes `.delay()` as cheap as possible.
app.conf.task_ignore_result = True


@app.task
def noop() -> None:
    """Do nothing."""


def delay(request: HttpRequest) -> HttpResponse:
    return HttpResponse(noop.delay().id)


urlpatterns = [path("delay", delay)]
