"""Deletes finished jobs whose retention period is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Attempt, Job
from offload.store.session import MAX_ROWS_PER_STATEMENT, Session

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


class Retention(Session):
    """Finds and deletes old finished jobs."""

    def finished_before(
        self, backend: str, state: JobState, *, before: datetime, queue_name: str | None = None
    ) -> QuerySet[Job]:
        """Return the jobs of a finished state that finished before a time, the oldest first.

        Args:
            backend: alias in TASKS.
            state: a finished state.
            before: the time.
            queue_name: one queue, or None for all.
        """
        jobs = Job.objects.using(self.using).filter(
            backend=backend, state=state, finished_at__isnull=False, finished_at__lt=before
        )
        if queue_name is not None:
            jobs = jobs.filter(queue_name=queue_name)
        return jobs.order_by("state", "finished_at")

    def prune(self, jobs: QuerySet[Job]) -> Iterator[int]:
        """Delete jobs with their attempts in batches of 1,000; yield the size of each batch.

        Each batch is a transaction of its own, and skips locked rows.

        Args:
            jobs: as `finished_before` returns them.
        """
        remaining = jobs
        while True:
            with transaction.atomic(self.using):
                self._prepare_transaction(waits=True)
                unlocked = remaining.select_for_update(skip_locked=True)
                batch = list(unlocked.values_list("pk", "finished_at")[:MAX_ROWS_PER_STATEMENT])
                deleted = self._delete([pk for pk, _ in batch])
            yield deleted
            if len(batch) < MAX_ROWS_PER_STATEMENT:
                return
            # Rows that were skipped or deleted are not read again.
            remaining = jobs.filter(finished_at__gte=batch[-1][1])

    def _delete(self, jobs: Sequence[UUID]) -> int:
        if not jobs:
            return 0
        Attempt.objects.using(self.using).filter(job_id__in=jobs).delete()
        failpoint("prune.attempts_deleted")
        finished = Job.objects.using(self.using).filter(pk__in=jobs, finished_at__isnull=False)
        return finished.delete()[0]
