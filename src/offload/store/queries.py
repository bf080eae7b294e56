"""Queries for operators. None counts or scans all finished jobs.

Each query steps through an index and stops at its limit. One that filters by columns that no index
has reads only a window of the newest jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Count, Q

from offload.lifecycle import JobState
from offload.models import Job, Worker
from offload.store import get_store
from offload.store.limit_lines import (
    LINE_ORDER,
    due_lines,
    limited_jobs,
    limited_queues,
)
from offload.store.limit_records import WAITS

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from offload.store.queue_records import Rules

WINDOW_SIZE = 100_000
"""Newest finished jobs that one filtered query reads, at most."""
MAX_WORKERS = 1000
"""Workers that one query returns, at most."""
MAX_COUNTED_JOBS = 10_000
"""Jobs of a queue without a worker that are counted, at most."""
RECENT_JOBS = 1000
"""Newest jobs whose tasks `recent_tasks` returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """A filter of jobs.

    Attributes:
        backend: alias in TASKS.
        state: one state, or None for any.
        queue_name: one queue, or None for any.
        task: the task's path or its function's name, or None for any.
        workflow: the workflow of which they are parts, or None for any job.
        workers: the workers of which one runs them, or None for any.
    """

    backend: str
    state: JobState | None = None
    queue_name: str | None = None
    task: str | None = None
    workflow: UUID | None = None
    workers: frozenset[UUID] | None = None

    def condition(self) -> Q:
        """Return the filter as a condition of a query."""
        condition = Q(backend=self.backend)
        if self.state is not None:
            condition &= Q(state=self.state)
        if self.queue_name is not None:
            condition &= Q(queue_name=self.queue_name)
        if self.task is not None:
            condition &= Q(task_path=self.task) | Q(task_path__endswith=f".{self.task}")
        if self.workflow is not None:
            condition &= Q(workflow=self.workflow)
        if self.workers is not None:
            condition &= Q(worker__in=self.workers)
        return condition


def list_jobs(
    using: str, job_filter: JobFilter, *, limit: int, search_all: bool = False
) -> list[Job]:
    """Return jobs: ready ones in the order in which they will run, finished ones newest first.

    Limited jobs are in the order in which they will run within each key, key by key; parts of one
    workflow in the order in which they were added.

    Args:
        using: alias in DATABASES.
        job_filter: which jobs.
        limit: how many at most.
        search_all: search all finished jobs of the state, not only the newest 100,000.
    """
    rows = Job.objects.using(using)
    if job_filter.workflow is not None:
        return list(rows.filter(job_filter.condition()).order_by("id")[:limit])
    match job_filter.state:
        case JobState.READY:
            return _find_ready(using, job_filter, limit)
        case JobState.LIMITED:
            limited = limited_jobs(using, job_filter.backend).filter(job_filter.condition())
            return list(limited.order_by(*LINE_ORDER)[:limit])
        case JobState.SCHEDULED:
            return list(rows.filter(job_filter.condition()).order_by("run_after")[:limit])
        case JobState.RUNNING:
            running = rows.filter(job_filter.condition())
            return list(running.order_by("last_attempted_at", "id")[:limit])
        case None | JobState.BLOCKED:
            field = "id"
        case finished_state:
            field = "finished_at"
            rows = rows.filter(state=finished_state, finished_at__isnull=False)
    newest: QuerySet[Job] = rows.order_by(f"-{field}")
    if not search_all:
        newest = _limit_to_window(newest, field)
    return list(newest.filter(job_filter.condition())[:limit])


def _limit_to_window(newest: QuerySet[Job], field: str) -> QuerySet[Job]:
    oldest = newest.values_list(field, flat=True)[WINDOW_SIZE : WINDOW_SIZE + 1].first()
    return newest if oldest is None else newest.filter(**{f"{field}__gt": oldest})


def _find_ready(using: str, job_filter: JobFilter, limit: int) -> list[Job]:
    """Merge the queues and kinds: the index orders the jobs within each of them."""
    queues = [job_filter.queue_name]
    if job_filter.queue_name is None:
        queues = [*get_store(using).ready_queues(job_filter.backend)]
    rows = Job.objects.using(using).filter(job_filter.condition())
    jobs: list[Job] = []
    for queue in queues:
        for is_async in (False, True):
            ready = rows.filter(queue_name=queue, is_async=is_async)
            jobs += ready.order_by("-priority", "run_after", "id")[:limit]
    return sorted(jobs, key=lambda job: (-job.priority, job.run_after, job.pk))[:limit]


def has_jobs(using: str, backend: str, queue_name: str) -> bool:
    """Return whether any job is in a queue; reads all rows if none is."""
    return Job.objects.using(using).filter(backend=backend, queue_name=queue_name).exists()


def count_unfinished(
    using: str, backend: str, queue_name: str | None = None
) -> dict[JobState, dict[str, int]]:
    """Return the number of jobs in each queue, for each state of a job that has not finished.

    Args:
        using: alias in DATABASES.
        backend: alias in TASKS.
        queue_name: only this queue; None for all.
    """
    jobs = Job.objects.using(using).filter(backend=backend)
    states = {  # an index for each
        JobState.RUNNING: jobs.filter(state=JobState.RUNNING),
        JobState.READY: jobs.filter(state=JobState.READY),
        JobState.LIMITED: limited_jobs(using, backend),
        JobState.SCHEDULED: jobs.filter(state=JobState.SCHEDULED),
    }
    counts: dict[JobState, dict[str, int]] = {}
    for state, unfinished in states.items():
        rows = unfinished if queue_name is None else unfinished.filter(queue_name=queue_name)
        queues = rows.values_list("queue_name").annotate(count=Count("id")).order_by("queue_name")
        counts[state] = dict(queues)
    return counts


def find_by_prefix(using: str, digits: str, *, limit: int = 2) -> list[UUID]:
    """Return the ids of jobs that start with some hexadecimal digits."""
    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    rows = Job.objects.using(using).filter(pk__gte=low, pk__lte=high).order_by("pk")
    found = rows.values_list("pk", flat=True)[:limit]
    # MariaDB does not order UUIDs of different versions by their digits.
    return [pk for pk in found if pk.hex.startswith(digits)]


def find_by_suffix(using: str, digits: str, *, limit: int = 2) -> list[UUID]:
    """Return the ids of jobs that end with some hexadecimal digits; reads all ids."""
    dashes = sum(len(digits) > position for position in (12, 16, 20, 24))
    suffix = str(UUID(digits.rjust(32, "0")))[-len(digits) - dashes :]
    rows = Job.objects.using(using).filter(pk__endswith=suffix)
    return list(rows.values_list("pk", flat=True)[:limit])


def recent_tasks(using: str, backend: str) -> list[str]:
    """Return the paths of the tasks of the newest 1,000 jobs."""
    newest = Job.objects.using(using).order_by("-pk").values_list("backend", "task_path")
    return sorted({path for alias, path in newest[:RECENT_JOBS] if alias == backend})


def oldest_wait(using: str, backend: str, queue_name: str | None = None) -> float | None:
    """Return for how many seconds the oldest waiting job has been due; None if no job waits.

    Jobs of paused queues and tasks do not count. A job that waits for its limit counts only for the
    time in which its limit lets it start: before, more workers would not help.
    """
    store = get_store(using)
    rows: Any = _unpaused(Job.objects.using(using).filter(backend=backend), store.rules(backend))
    rows = rows.annotate(now=store.now()).values_list("run_after", "now")
    queues = store.ready_queues(backend) if queue_name is None else [queue_name]
    waits: list[tuple[datetime, datetime]] = []
    for queue in queues:
        for is_async in (False, True):
            ready = rows.filter(state=JobState.READY, queue_name=queue, is_async=is_async)
            waits += _oldest_of_each_priority(ready)
    # A due job is still scheduled while no worker is running that would promote it.
    due = rows.filter(state=JobState.SCHEDULED, run_after__lte=store.now())
    if queue_name is not None:
        due = due.filter(queue_name=queue_name)
    waits += due.order_by("run_after")[:1]
    if queue_name is not None:
        rows = rows.filter(queue_name=queue_name)
    for limit_key, may_start_at in due_lines(using, backend).items():
        line = _oldest_of_each_priority(rows.filter(limit_slot=WAITS + limit_key))
        waits += [(max(since, may_start_at or since), now) for since, now in line]
    return max(((now - since).total_seconds() for since, now in waits), default=None)


def _oldest_of_each_priority(ready: Any) -> list[tuple[datetime, datetime]]:
    """Step from priority to priority: the index has them in order, and the oldest job first."""
    oldest = []
    rows = ready.order_by("-priority", "run_after", "id")
    rows = rows.values_list("priority", "run_after", "now")
    row = rows.first()
    while row is not None:
        priority, since, now = row
        oldest.append((since, now))
        row = rows.filter(priority__lt=priority).first()
    return oldest


def unserved_queues(using: str, backend: str) -> dict[str, int]:
    """Return the queues that have jobs to run but no live worker, with the number of such jobs.

    Paused queues are left out, and jobs of paused tasks.

    At most MAX_COUNTED_JOBS are counted of each queue.
    """
    store = get_store(using)
    workers = live_workers(using, backend)
    rules = store.rules(backend)
    rows = _unpaused(Job.objects.using(using).filter(backend=backend), rules)
    due = rows.filter(state=JobState.SCHEDULED, run_after__lte=store.now())
    names = {*store.ready_queues(backend), *due.values_list("queue_name", flat=True).distinct()}
    names |= limited_queues(using, backend)
    names -= rules.paused_queues.keys()
    counts = {}
    for name in sorted(names):
        if not any(serves(worker, name) for worker in workers):
            ready = rows.filter(state=JobState.READY, queue_name=name)[:MAX_COUNTED_JOBS]
            scheduled = due.filter(queue_name=name)[:MAX_COUNTED_JOBS]
            in_lines = _unpaused(limited_jobs(using, backend), rules).filter(queue_name=name)
            limited = in_lines.filter(limit_slot__gte=WAITS)[:MAX_COUNTED_JOBS]
            if count := ready.count() + scheduled.count() + limited.count():
                counts[name] = min(count, MAX_COUNTED_JOBS)
    return counts


def _unpaused(jobs: QuerySet[Job], rules: Rules) -> QuerySet[Job]:
    """Leave out the jobs whose queue or task is paused."""
    if rules.paused_queues:
        jobs = jobs.exclude(queue_name__in=rules.paused_queues)
    return jobs.exclude(task_path__in=rules.tasks) if rules.tasks else jobs


def live_workers(using: str, backend: str, queue_name: str | None = None) -> list[Worker]:
    """Return the workers of a backend whose lease has not expired.

    Args:
        using: alias in DATABASES.
        backend: alias in TASKS.
        queue_name: only workers that serve this queue; None for all.
    """
    now = get_store(using).now()
    rows = Worker.objects.using(using).filter(backend=backend, expires_at__gte=now)
    workers = rows.order_by("started_at")[:MAX_WORKERS]
    return [worker for worker in workers if queue_name is None or serves(worker, queue_name)]


def runs_jobs(worker: Worker) -> bool:
    """Return whether a worker has not only duties."""
    return worker.processes > 0 or worker.threads > 0


def serves(worker: Worker, queue_name: str) -> bool:
    """Return True if a worker runs the jobs of a queue."""
    if not runs_jobs(worker):
        return False
    first, *others = worker.queues.split(",")
    return queue_name in {first, *others} if first else queue_name not in others


def find_workers(using: str, ids: list[UUID]) -> dict[UUID, Worker]:
    """Return the workers that still have a row."""
    return Worker.objects.using(using).in_bulk(ids)
