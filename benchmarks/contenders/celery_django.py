"""Celery in a Django project, with its result backends and that of django-offload.

The same code runs on django-offload, called in Celery's way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import django
from django.core.management import call_command
from django.db import transaction as transactions

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
if "BENCH_RESULTS" in os.environ:
    from celery import Celery
    from celery import chord as make_chord
else:
    from offload.celery import Celery
    from offload.celery import chord as make_chord

app = Celery("celery_django")
app.config_from_object("django.conf:settings", namespace="CELERY")
django.setup()

from project import celery_tasks as tasks  # noqa: E402  # needs the app registry
from project.models import Item  # noqa: E402

sent_jobs = 0


def prepare() -> None:
    call_command("migrate", verbosity=0, run_syncdb=True)
    Item.objects.create(name="first")


def open() -> None:  # noqa: A001  # the name of the interface
    Item.objects.get(pk=1)


def enqueue(kind: str, sent: int, text: str) -> Any:
    global sent_jobs  # noqa: PLW0603  # Celery stores no list of unfinished jobs
    sent_jobs += 1
    if kind == "big":
        return tasks.big.delay(sent, text)
    if kind == "noop":
        return tasks.noop.delay(sent)
    return tasks.mixed.delay(sent, kind)


def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    with transactions.atomic():
        for kind in kinds:
            enqueue(kind, sent, "")


def wait(result: Any) -> None:
    result.get(timeout=30)


def chord(size: int) -> int:
    header = [tasks.noop.s(time.time_ns()) for _ in range(size)]
    return int(make_chord(header)(tasks.count.s()).get(timeout=60))


def unfinished() -> int:
    return sent_jobs - _count_results()


def transaction() -> AbstractContextManager[Any]:
    return transactions.atomic()


def _count_results() -> int:
    if os.environ["BENCH_PEER"] == "offload":
        from offload.models import Job  # noqa: PLC0415  # installed in its own environment only

        return Job.objects.exclude(finished_at=None).count()
    if os.environ["BENCH_RESULTS"] == "django-db":
        from django_celery_results.models import TaskResult  # noqa: PLC0415

        return TaskResult.objects.filter(status="SUCCESS").count()
    import redis  # noqa: PLC0415

    return int(redis.Redis.from_url(os.environ["BENCH_RESULTS_URL"]).dbsize())
