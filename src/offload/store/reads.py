"""Reading jobs by their ids."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db import connections

from offload.lifecycle import JobState
from offload.models import Attempt, Job
from offload.store.records import JobSnapshot
from offload.store.statements import statement

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

    def attempts_at(self, job: Job) -> list[Attempt]:
        """Return a job's failed attempts, in order; no query if none can have failed."""
        if job.fence == 0:
            return []
        if job.fence == 1 and job.state in _STATES_WITHOUT_FAILURE:
            return []
        return list(Attempt.objects.using(self.using).filter(job_id=job.pk).order_by("fence"))

    def find(self, jobs: Collection[UUID]) -> list[Job]:
        """Return the jobs that exist; their arguments are read on first access."""
        return list(Job.objects.using(self.using).filter(pk__in=jobs).defer("arguments"))

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

    def key(self, value: Any) -> str:
        """Return an id as this database's driver takes and returns it in raw SQL."""
        return str(value)
