"""Reading jobs by their ids."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db import connections
from django.db.models import Case, When

from offload.lifecycle import JobState
from offload.models import Attempt, Job
from offload.store.losses import may_wait
from offload.store.records import JobSnapshot, ReadyJob
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime

_READY_COLUMNS = (
    *("pk", "priority", "version", "fence", "run_after", "enqueued_at", "schedule", "workflow"),
    *("timeout", "max_worker_losses", "worker_losses"),
)
"""What is read of ready jobs."""

_DEFINITION = Case(When(run_when=None, awaited__isnull=False, then="arguments"))
"""The arguments of a workflow's own job; NULL for other jobs."""
_STATES_WITHOUT_FAILURE = {JobState.RUNNING, JobState.SUCCESSFUL}
"""States in which the first attempt at a job has not failed."""


class JobReads:
    """Reads jobs by their ids.

    Args:
        using: alias in DATABASES.
    """

    dialect: ClassVar[str]

    def __init__(self, using: str) -> None:
        self.using = using

    def read(self, job: UUID) -> tuple[Job | None, list[Attempt]]:
        """Return a job and its failed attempts, in order; one query if none can have failed."""
        row = Job.objects.using(self.using).filter(pk=job).first()
        if row is None:
            return None, []
        return row, self.attempts_at(row)

    def read_many(self, jobs: Collection[UUID]) -> list[tuple[Job, list[Attempt]]]:
        """Return the jobs that exist, in the order of their ids, with their failed attempts."""
        rows = list(Job.objects.using(self.using).filter(pk__in=jobs).order_by("pk"))
        attempts: defaultdict[UUID, list[Attempt]] = defaultdict(list)
        claimed = [row.pk for row in rows if row.fence]
        if claimed:
            failures = Attempt.objects.using(self.using).filter(job_id__in=claimed)
            for attempt in failures.order_by("job_id", "fence"):
                attempts[attempt.job_id].append(attempt)
        return [(row, attempts[row.pk]) for row in rows]

    def attempts_at(self, job: Job) -> list[Attempt]:
        """Return a job's failed attempts, in order; no query if none can have failed."""
        if job.fence == 0:
            return []
        if job.fence == 1 and job.state in _STATES_WITHOUT_FAILURE:
            return []
        return list(Attempt.objects.using(self.using).filter(job_id=job.pk).order_by("fence"))

    def find(self, jobs: Collection[UUID], *, with_arguments: bool = False) -> list[Job]:
        """Return the jobs that exist.

        Those of a workflow, which have its title, are in the attribute `definition`.

        Args:
            jobs: their ids.
            with_arguments: read the arguments too, which else are read on first access.
        """
        rows = Job.objects.using(self.using).filter(pk__in=jobs)
        if not with_arguments:
            rows = rows.defer("arguments")
        return list(rows.annotate(definition=_DEFINITION))

    def failures(self, jobs: Collection[UUID]) -> dict[UUID, Attempt]:
        """Return the last failed attempt of each job that has one."""
        attempts = Attempt.objects.using(self.using).filter(job_id__in=jobs).defer("traceback")
        return {attempt.job_id: attempt for attempt in attempts.order_by("job_id", "fence")}

    def finished(self, jobs: Sequence[UUID]) -> list[UUID]:
        """Return the jobs that have finished or were deleted."""
        unfinished = Job.objects.using(self.using).filter(pk__in=jobs, finished_at=None)
        return list(set(jobs) - set(unfinished.values_list("pk", flat=True)))

    def changed_since(self, known: Mapping[UUID, int]) -> list[JobSnapshot]:
        """Return the jobs that have changed or were deleted.

        Args:
            known: the version of each job that the caller has read, or UNKNOWN_VERSION.
        """
        if not known:
            return []
        pairs = [{"id": self.key(job), "version": version} for job, version in known.items()]
        rows: Any = Job.objects.using(self.using).raw(
            statement(self.dialect, "changed_since"), {"known": json.dumps(pairs)}
        )
        changed: dict[UUID, Job | None] = {}
        for row in rows:
            changed[UUID(str(row.known))] = None if row.pk is None else row
        failures = self._failures_of_last_attempts([job for job in changed.values() if job])
        return [JobSnapshot(pk, job, failures.get(pk)) for pk, job in changed.items()]

    def _failures_of_last_attempts(self, jobs: Sequence[Job]) -> dict[UUID, Attempt]:
        fences = {job.pk: job.fence for job in jobs if job.state == JobState.FAILED}
        if not fences:
            return {}
        failures = self.failures(fences)
        return {pk: failure for pk, failure in failures.items() if failure.fence == fences[pk]}

    def ready_order(
        self, backend: str, queue_name: str, *, is_async: bool, limit: int
    ) -> list[UUID]:
        """Return the ids of ready jobs of one queue and kind, in the order in which they will run.

        Args:
            backend: alias in TASKS.
            queue_name: the queue.
            is_async: the kind of task; workers have separate slots for each.
            limit: how many at most.
        """
        parameters: dict[str, Any] = {
            "backend": backend,
            "queue": queue_name,
            "is_async": is_async,
            "limit": limit,
        }
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_order"), parameters)
            return [UUID(str(pk)) for (pk,) in cursor.fetchall()]

    def next_ready(
        self, backend: str, queue_name: str, *, is_async: bool, limit: int
    ) -> list[ReadyJob]:
        """Return ready jobs of one queue and kind, in the order in which they will run.

        Args:
            backend, queue_name, is_async, limit: those of `ready_order`.
        """
        waits = Job.objects.using(self.using).filter(
            state=JobState.READY, backend=backend, queue_name=queue_name, is_async=is_async
        )
        rows = waits.order_by("-priority", "run_after", "pk").values(*_READY_COLUMNS)[:limit]
        now = to_datetime(now_microseconds())
        return [
            ReadyJob(
                self.key(row["pk"]),
                queue_name,
                is_async,
                row["priority"],
                row["version"],
                waited=(now - row["run_after"]).total_seconds(),
                is_untouched=_is_untouched(row),
                may_wait=may_wait(row["timeout"], row["max_worker_losses"], row["worker_losses"]),
            )
            for row in rows
        ]

    def key(self, value: Any) -> str:
        """Return an id as this database's driver takes and returns it in raw SQL."""
        return str(value)


def _is_untouched(row: Mapping[str, Any]) -> bool:
    """Return whether nothing has changed a ready job's row since the call that enqueued it."""
    is_of_call = row["schedule"] is None and row["workflow"] is None
    return is_of_call and row["fence"] == 0 and row["run_after"] <= row["enqueued_at"]
