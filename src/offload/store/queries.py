"""What people ask about jobs. Nothing here counts, or reads, a table of finished jobs.

Each question steps through an index and stops: at its limit, or at the end of a window of the
newest jobs when it filters by what no index has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Q

from offload.lifecycle import JobState
from offload.models import Job, Worker
from offload.store import get_store

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

WINDOW = 100_000
"""Finished jobs, the newest, that one question looks through at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs.

    Attributes:
        backend: alias in TASKS.
        state: one state, or None for any.
        queue_name: one queue, or None for any.
        task: the task's path, or only its name; None for any.
    """

    backend: str
    state: JobState | None = None
    queue_name: str | None = None
    task: str | None = None

    def condition(self) -> Q:
        """Return what the rows must meet."""
        condition = Q(backend=self.backend)
        if self.state is not None:
            condition &= Q(state=self.state)
        if self.queue_name is not None:
            condition &= Q(queue_name=self.queue_name)
        if self.task is not None:
            condition &= Q(task_path=self.task) | Q(task_path__endswith=f".{self.task}")
        return condition


def find_jobs(using: str, wanted: JobFilter, *, limit: int, everywhere: bool = False) -> list[Job]:
    """Return jobs: ready ones in the order in which they will run, ended ones newest first.

    Args:
        using: alias in DATABASES.
        wanted: which.
        limit: how many at most.
        everywhere: look through all finished jobs of the state, not only the newest 100,000.
    """
    match wanted.state:
        case JobState.READY:
            return _ready(using, wanted, limit)
        case JobState.SCHEDULED:
            return list(_jobs(using, wanted).order_by("run_after")[:limit])
        case JobState.RUNNING:
            return list(_jobs(using, wanted).order_by("last_attempted_at", "id")[:limit])
        case None:
            rows, field = Job.objects.using(using), "id"
        case state:
            rows, field = Job.objects.using(using).filter(state=state), "finished_at"
            rows = rows.filter(finished_at__isnull=False)
    rows = rows.order_by(f"-{field}")
    if not everywhere:
        oldest = rows.values_list(field, flat=True)[WINDOW : WINDOW + 1].first()
        if oldest is not None:
            rows = rows.filter(**{f"{field}__gt": oldest})
    return list(rows.filter(wanted.condition())[:limit])


def find_by_prefix(using: str, digits: str, *, limit: int = 2) -> list[UUID]:
    """Return the ids of jobs that begin with some hexadecimal digits."""
    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    rows = Job.objects.using(using).filter(pk__gte=low, pk__lte=high).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def recent_tasks(using: str, backend: str) -> list[str]:
    """Return the paths of the tasks of the newest 1,000 jobs."""
    rows = Job.objects.using(using).order_by("-pk").values_list("backend", "task_path")[:1000]
    return sorted({path for alias, path in rows if alias == backend})


def oldest_wait(using: str, backend: str, queue_name: str | None = None) -> float | None:
    """Return for how many seconds the longest waiting job could have run; None if none waits."""
    store = get_store(using)
    queues = store.ready_queues(backend) if queue_name is None else [queue_name]
    rows: Any = Job.objects.using(using).annotate(now=store.now()).values_list("run_after", "now")
    waits: list[tuple[datetime, datetime]] = []
    for queue in queues:
        for is_async in (False, True):
            lane = {"state": JobState.READY, "backend": backend, "is_async": is_async}
            waits += _oldest_of_each_priority(rows.filter(queue_name=queue, **lane))
    # What is due is still scheduled if no engine is there to promote it.
    due = rows.filter(state=JobState.SCHEDULED, backend=backend, run_after__lte=store.now())
    if queue_name is not None:
        due = due.filter(queue_name=queue_name)
    waits += due.order_by("run_after")[:1]
    return max(((now - since).total_seconds() for since, now in waits), default=None)


def live_workers(using: str, backend: str, queue_name: str | None = None) -> list[Worker]:
    """Return the engines within their lease that run a backend's jobs, or those of a queue."""
    now = get_store(using).now()
    rows = Worker.objects.using(using).filter(backend=backend, expires_at__gte=now)
    return [
        engine
        for engine in rows.order_by("started_at")[:1000]
        if queue_name is None or serves(engine, queue_name)
    ]


def serves(engine: Worker, queue_name: str) -> bool:
    """Tell whether an engine runs the jobs of a queue."""
    return not engine.queues or queue_name in engine.queues.split(",")


def find_workers(using: str, ids: list[UUID]) -> dict[UUID, Worker]:
    """Return those of the engines that are still known."""
    return Worker.objects.using(using).in_bulk(ids)


def _jobs(using: str, wanted: JobFilter) -> QuerySet[Job]:
    return Job.objects.using(using).filter(wanted.condition())


def _ready(using: str, wanted: JobFilter, limit: int) -> list[Job]:
    """Merge the queues: the index has the order within each, and of each kind of task."""
    found: list[Job] = []
    every = get_store(using).ready_queues(wanted.backend)
    for queue in every if wanted.queue_name is None else [wanted.queue_name]:
        for is_async in (False, True):
            lane = _jobs(using, wanted).filter(queue_name=queue, is_async=is_async)
            found += lane.order_by("-priority", "run_after", "id")[:limit]
    return sorted(found, key=lambda job: (-job.priority, job.run_after, job.pk))[:limit]


def _oldest_of_each_priority(lane: Any) -> list[tuple[datetime, datetime]]:
    """Step from priority to priority: the index has them in order, and the oldest first."""
    found = []
    step = lane.order_by("-priority", "run_after", "id").values_list("priority", "run_after", "now")
    first = step.first()
    while first is not None:
        priority, since, now = first
        found.append((since, now))
        first = step.filter(priority__lt=priority).first()
    return found
