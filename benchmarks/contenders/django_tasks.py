"""The backends of django.tasks: django-offload, django-tasks-db and django-ox."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

import django
from django.core.management import call_command
from django.db import transaction as transactions

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from project import tasks  # noqa: E402  # needs the app registry
from project.models import Item  # noqa: E402

PEER = os.environ["BENCH_PEER"]
POLL_SECONDS = 0.001


def prepare() -> None:
    call_command("migrate", verbosity=0, run_syncdb=True)
    Item.objects.create(name="first")


def open() -> None:  # noqa: A001  # the name of the interface
    Item.objects.get(pk=1)


def enqueue(kind: str, sent: int, text: str) -> Any:
    if kind == "big":
        return tasks.big.enqueue(sent, text)
    task, arguments = _call(kind, sent)
    return task.enqueue(*arguments)


def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    calls = [_call(kind, sent) for kind in kinds]
    with transactions.atomic():
        for task, group in groupby(calls, key=lambda call: call[0]):
            _insert(task, [(arguments, {}) for _, arguments in group])


def wait(result: Any) -> None:
    if PEER == "offload":
        result.wait(30)
        return
    pause = threading.Event()
    while not result.is_finished:
        pause.wait(POLL_SECONDS)
        result.refresh()


def unfinished() -> int:
    if PEER == "offload":
        from offload.models import Job  # noqa: PLC0415  # installed in its own environment only

        return Job.objects.filter(finished_at=None).count()
    if PEER == "django-ox":
        from django_ox.models import OxTask  # noqa: PLC0415

        return OxTask.objects.filter(finished_at=None).count()
    from django_tasks_db.models import DBTaskResult  # noqa: PLC0415

    return DBTaskResult.objects.filter(finished_at=None).count()


def transaction() -> AbstractContextManager[Any]:
    return transactions.atomic()


def chord(size: int) -> int:
    """Run a chord as a workflow; only django-offload has these."""
    from offload import workflow  # noqa: PLC0415  # installed in its own environment only

    with workflow("chord") as flow:
        parts = flow.group(flow.add(tasks.noop, time.time_ns()) for _ in range(size))
        flow.returns(flow.add(tasks.count, parts))
    return int(flow.result.wait(60).return_value)


def _call(kind: str, sent: int) -> tuple[Any, tuple[Any, ...]]:
    if kind in {"noop", "anoop"}:
        return getattr(tasks, kind), (sent,)
    is_async = kind.startswith("async ")
    task = tasks.amixed if is_async else tasks.mixed
    return task, (sent, kind.removeprefix("async "))


def _insert(task: Any, calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    """Enqueue in the fastest way that the backend has."""
    if hasattr(task.get_backend(), "enqueue_many"):
        task.get_backend().enqueue_many(task, calls)
        return
    for arguments, _ in calls:
        task.enqueue(*arguments)
