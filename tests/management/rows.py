"""Rows as the commands meet them, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Attempt, Job, Worker
from offload.store import get_store
from offload.uuid7 import new_id


def end(result: Any, state: JobState, moment: datetime | None = None) -> Job:
    """Let a job have ended."""
    Job.objects.filter(pk=result.id).update(
        state=state, fence=1, attempt=1, worker=new_id(), finished_at=moment or timezone.now()
    )
    return Job.objects.get(pk=result.id)


def run(result: Any, worker: Worker | None = None) -> Job:
    """Let a job be running."""
    Job.objects.filter(pk=result.id).update(
        state=JobState.RUNNING,
        fence=1,
        attempt=1,
        worker=worker.pk if worker else new_id(),
        started_at=timezone.now(),
        last_attempted_at=timezone.now(),
    )
    return Job.objects.get(pk=result.id)


def fail_once(job: Job) -> Attempt:
    """Give a job a failed attempt."""
    return Attempt.objects.create(
        job_id=job.pk,
        fence=job.fence,
        number=1,
        worker=job.worker,
        started_at=timezone.now(),
        finished_at=timezone.now(),
        exception_class_path="builtins.ValueError",
        message="no such customer",
        traceback="Traceback (most recent call last):\nValueError: no such customer\n",
    )


def register(*, backend: str = "default", queues: str = "", lease: float = 30.0) -> Worker:
    """Let an engine be alive, or dead if its lease is negative."""
    worker = Worker(
        id=new_id(),
        backend=backend,
        hostname="worker-1",
        pid=42,
        queues=queues,
        processes=2,
        threads=4,
    )
    get_store("default").register(worker, lease=lease)
    return Worker.objects.get(pk=worker.pk)


LOOKED_UP = ("Select tables optimized away", "No matching min/max row")
"""What MariaDB says of a smallest value that it looked up in the index while planning."""


def plans_of(ask: Callable[[], Any]) -> list[str]:
    """Return how the database would find the rows of each query, if it had many."""
    with CaptureQueriesContext(connection) as queries:
        ask()
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    plans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        for query in queries.captured_queries:
            cursor.execute(explain + query["sql"].replace("%", "%%"))
            plans.append(str(cursor.fetchall()))
    return [plan for plan in plans if not any(text in plan for text in LOOKED_UP)]
