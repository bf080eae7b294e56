"""What a store tells about single jobs, without changing them."""

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

_UNTROUBLED = {JobState.RUNNING, JobState.SUCCESSFUL}


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
        return row, [] if row is None else self.attempts_at(row)

    def attempts_at(self, job: Job) -> list[Attempt]:
        """Return a job's failed attempts, in order; no query if none can have failed."""
        if job.fence == 0 or (job.fence == 1 and job.state in _UNTROUBLED):
            return []
        return list(Attempt.objects.using(self.using).filter(job_id=job.pk).order_by("fence"))

    def find(self, jobs: Collection[UUID]) -> list[Job]:
        """Return those of the jobs that are there; their arguments are read when asked for."""
        return list(Job.objects.using(self.using).filter(pk__in=jobs).defer("arguments"))

    def failures(self, jobs: Collection[UUID]) -> dict[UUID, Attempt]:
        """Return the last failed attempt of each of the jobs that has one."""
        attempts = Attempt.objects.using(self.using).filter(job_id__in=jobs).defer("traceback")
        return {attempt.job_id: attempt for attempt in attempts.order_by("job_id", "fence")}

    def finished(self, jobs: Sequence[UUID]) -> list[UUID]:
        """Return those of the jobs that have ended, or are gone."""
        unfinished = Job.objects.using(self.using).filter(pk__in=jobs, finished_at=None)
        return list(set(jobs) - set(unfinished.values_list("pk", flat=True)))

    def changed_since(self, known: Mapping[UUID, int]) -> list[JobSnapshot]:
        """Return those of the jobs that have changed, or are gone.

        Args:
            known: each job's version that is known already; UNSEEN if none is.
        """
        if not known:
            return []
        pairs = [{"id": self.key(job), "version": version} for job, version in known.items()]
        rows: Any = Job.objects.using(self.using).raw(
            statement(self.dialect, "changed_since"), {"known": json.dumps(pairs)}
        )
        found = [(UUID(str(row.known)), None if row.pk is None else row) for row in rows]
        runs = {pk: job.fence for pk, job in found if job and job.state == JobState.FAILED}
        failures = self.failures(runs) if runs else {}
        last = {pk: why for pk, why in failures.items() if why.fence == runs[pk]}
        return [JobSnapshot(pk, job, last.get(pk)) for pk, job in found]

    def ready_order(
        self, backend: str, queue_name: str, *, is_async: bool, limit: int
    ) -> list[UUID]:
        """Return the ids of ready jobs of one queue and kind, in the order in which they will run.

        Args:
            backend: alias in TASKS.
            queue_name: the queue.
            is_async: whether tasks written with `async def`: engines have places of their own
                for them.
            limit: how many at most.
        """
        lane: dict[str, Any] = {"backend": backend, "queue": queue_name, "is_async": is_async}
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_order"), {**lane, "limit": limit})
            return [UUID(str(pk)) for (pk,) in cursor.fetchall()]

    def key(self, value: Any) -> str:
        """Return a job's id as this database's driver takes and gives it in raw SQL."""
        return str(value)
