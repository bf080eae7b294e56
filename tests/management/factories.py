"""Creates jobs, attempts and workers in the states that the commands show."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Attempt, Job, Worker
from offload.store import get_store
from offload.uuid7 import new_id


def finish(result: Any, state: JobState, finished_at: datetime | None = None) -> Job:
    """Change an enqueued job to a finished one."""
    Job.objects.filter(pk=result.id).update(
        state=state, fence=1, attempt=1, worker=new_id(), finished_at=finished_at or timezone.now()
    )
    return Job.objects.get(pk=result.id)


def start(result: Any, worker: Worker | None = None) -> Job:
    """Change an enqueued job to a running one."""
    Job.objects.filter(pk=result.id).update(
        state=JobState.RUNNING,
        fence=1,
        attempt=1,
        worker=worker.pk if worker else new_id(),
        started_at=timezone.now(),
        last_attempted_at=timezone.now(),
    )
    return Job.objects.get(pk=result.id)


def add_failed_attempt(job: Job) -> Attempt:
    """Add a failed attempt to a job."""
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


def register_worker(*, backend: str = "default", queues: str = "", lease: float = 30.0) -> Worker:
    """Register a worker; with a negative lease its lease has expired."""
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
