"""Deletes finished jobs whose retention period is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Attempt, Dependency, Job
from offload.store.celery_records import CELERY
from offload.store.celery_results import CeleryResults
from offload.store.session import MAX_ROWS_PER_STATEMENT

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Retention(CeleryResults):
    """Finds and deletes old finished jobs."""

    def finished_before(
        self, backend: str, state: JobState, *, before: datetime, queue_name: str | None = None
    ) -> QuerySet[Job]:
        """Return the jobs of a finished state that finished before a time, the oldest first.

        Those that still hold a key are left out.

        Args:
            backend: alias in TASKS.
            state: a finished state.
            before: the time.
            queue_name: one queue, or None for all.
        """
        jobs = Job.objects.using(self.using).filter(
            Q(unique_key=None) | Q(unique_within__lte=datetime.now(UTC)),
            backend=backend,
            state=state,
            finished_at__isnull=False,
            finished_at__lt=before,
            workflow=None,  # parts are deleted with their workflow
        )
        if queue_name is not None:
            jobs = jobs.filter(queue_name=queue_name)
        return jobs.order_by("state", "finished_at")

    def prune(self, jobs: QuerySet[Job]) -> Iterator[int]:
        """Delete jobs with their attempts in batches of 1,000; yield the size of each batch.

        Each batch is a transaction of its own, and skips locked rows. Workflows are deleted with
        their parts.

        Args:
            jobs: as `finished_before` returns them.
        """
        remaining = jobs
        while True:
            with transaction.atomic(self.using):
                self._prepare_transaction(waits=True)
                unlocked = remaining.select_for_update(skip_locked=True)
                columns = unlocked.values_list("pk", "finished_at", "awaited")
                batch = list(columns[:MAX_ROWS_PER_STATEMENT])
                workflows = [pk for pk, _, awaited in batch if awaited is not None]
                parts = self._delete_parts(workflows)
                has_parts = parts == MAX_ROWS_PER_STATEMENT  # perhaps more: the workflows wait
                kept = set(workflows) if has_parts else set()
                deleted = parts + self._delete([pk for pk, *_ in batch if pk not in kept])
            yield deleted
            if has_parts:
                continue
            if len(batch) < MAX_ROWS_PER_STATEMENT:
                return
            # Rows that were skipped or deleted are not read again.
            remaining = jobs.filter(finished_at__gte=batch[-1][1])

    def prune_celery(self, *, before: datetime) -> int:
        """Delete the plain Celery tasks that ended before a time, and old groups of them."""
        deleted = 0
        for state in JobState:
            if state.is_finished:
                deleted += sum(self.prune(self.finished_before(CELERY, state, before=before)))
        while self.prune_celery_groups(before=before):
            pass
        return deleted

    def forget(self, job: UUID) -> bool:
        """Delete a job that has finished, with its attempts; return whether there was one.

        Workflows and their parts are left to `prune`.
        """
        finished = Job.objects.using(self.using).filter(
            pk=job, finished_at__isnull=False, workflow=None, awaited=None
        )
        with transaction.atomic(self.using):
            return finished.exists() and self._delete([job]) > 0

    def _delete_parts(self, workflows: Sequence[UUID]) -> int:
        """Delete a batch of the parts of workflows, with what connects them."""
        if not workflows:
            return 0
        rows = Job.objects.using(self.using).filter(workflow__in=workflows).order_by()
        parts = list(rows.values_list("pk", flat=True)[:MAX_ROWS_PER_STATEMENT])
        connections = Dependency.objects.using(self.using)
        connections.filter(child__in=[*parts, *workflows]).delete()
        failpoint("prune.dependencies_deleted")
        return self._delete(parts)

    def _delete(self, jobs: Sequence[UUID]) -> int:
        if not jobs:
            return 0
        Attempt.objects.using(self.using).filter(job_id__in=jobs).delete()
        failpoint("prune.attempts_deleted")
        return Job.objects.using(self.using).filter(pk__in=jobs).delete_finished()
