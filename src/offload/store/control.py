"""Changes that users make to a job: cancel it, retry it, run it now."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Case, F, When

from offload.exceptions import InvalidJobState
from offload.lifecycle import RETRYABLE, WAITING, JobState
from offload.models import Job
from offload.notifier import Hint
from offload.store.celery_records import CELERY
from offload.store.hints import publish_after_commit
from offload.store.limit_keys import LimitKeys
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION
from offload.store.unique_jobs import MAX_ROUNDS, UniqueJobs
from offload.store.waiting_values import RETRY_VALUES, WAITING_VALUES
from offload.store.workflow_control import WorkflowControl

if TYPE_CHECKING:
    from django.db.models import QuerySet


DELETED_OWNER = "deleted"
"""Owner of the jobs of deleted users. Nobody has this name; without an owner, all staff would see
the jobs."""


def key_is_held(job: UUID, holder: Job) -> InvalidJobState:
    """Return the error of a job that cannot be retried, because another one holds its key."""
    return InvalidJobState(
        f"The job {job} cannot be retried: the job {holder.pk}, which is "
        f"{JobState(holder.state)}, holds its key {holder.unique_key!r}."
    )


class Control(LimitKeys, UniqueJobs, WorkflowControl):
    """Changes jobs on a user's behalf, in the caller's transaction, and notifies after commit.

    The times are those of the caller's clock, as in `enqueue`.
    """

    def cancel(self, job: UUID) -> JobState | None:
        """Cancel a waiting job, or request that a running one stops.

        Returns:
            CANCELLED, RUNNING or, for a workflow, BLOCKED (both: requested), or None if the job has
            finished or does not exist.
        """
        for _ in range(2):  # it may change from waiting to running, or back, in between
            state = self._try_to_cancel(job)
            if state is not None:
                publish_after_commit(self.using, Hint.CHANGED)
                return state
        return None

    def retry(self, job: UUID) -> bool:
        """Make a job that failed, was cancelled or expired ready again; return False otherwise.

        Of a workflow, all parts that did not succeed run again. One part runs again, and those
        behind it that did not succeed, only when its workflow has ended.

        If it was unique, it holds no key then.
        """
        return self._retry(job, unique_key=None)

    def retry_unique(self, job: UUID, key: str, until: int) -> bool:
        """Do what `retry` does, and let the job hold a key again.

        Args:
            job: its id.
            key: the key.
            until: the first state in which it no longer holds the key.

        Raises:
            InvalidJobState: if another job holds the key.
        """
        for _ in range(MAX_ROUNDS):
            with suppress(IntegrityError), transaction.atomic(self.using):
                self.lock_keys([key])
                self.free_expired_keys([key])
                holder = self.holders([key]).get(key)
                if holder is not None and holder.pk != job:
                    raise key_is_held(job, holder)
                return self._retry(job, unique_key=key, unique_until=until)
        raise InvalidJobState(f"The key {key!r} of the job {job} changes hands too fast.")

    def _retry(self, job: UUID, **unique: Any) -> bool:
        jobs = self._in_states(job, RETRYABLE).filter(awaited=None)
        values = RETRY_VALUES | unique | {"run_after": datetime.now(UTC)}
        return self._let_wait(job, jobs, values) or self.retry_parts(job)

    def run_now(self, job: UUID) -> bool:
        """Make a scheduled job ready before its time; return False if it is not scheduled."""
        return self._let_wait(job, self._in_states(job, [JobState.SCHEDULED]), {})

    def disown(self, owners: Collection[str]) -> None:
        """Take jobs from owners who no longer exist.

        The search reads the whole table: no index has owners. It takes no locks; one UPDATE that
        searches by itself would lock rows of others on MariaDB, for seconds in a large table.
        """
        jobs = Job.objects.using(self.using)
        owned = list(jobs.filter(owner__in=owners).order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(owned), MAX_ROWS_PER_STATEMENT):
            batch = jobs.filter(pk__in=owned[start : start + MAX_ROWS_PER_STATEMENT])
            batch.update(owner=DELETED_OWNER, version=NEXT_VERSION)
        if owned:
            publish_after_commit(self.using, Hint.CHANGED)

    def _let_wait(self, job: UUID, jobs: QuerySet[Job], values: dict[str, Any]) -> bool:
        """Make a job ready, or let it wait for its limit, and notify workers.

        Args:
            job: its id.
            jobs: the job, if it may be changed.
            values: further columns to write.

        Returns:
            Whether it was changed.
        """
        with transaction.atomic(self.using, savepoint=False):  # with the notice
            if not jobs.update(version=NEXT_VERSION, **WAITING_VALUES | values):
                return False
            rows = Job.objects.using(self.using).filter(pk=job)
            key = rows.values_list("limit_key", flat=True).first()
            if key is not None:
                self.add_notices({key: None})
        publish_after_commit(self.using, Hint.WORK, Hint.CHANGED)
        return True

    def _try_to_cancel(self, job: UUID) -> JobState | None:
        waiting = self._in_states(job, WAITING)
        if cancel_waiting(waiting.filter(awaited=None)):
            return JobState.CANCELLED
        if self._request_cancel(job):
            publish_after_commit(self.using, Hint.CONTROL)
            return JobState.RUNNING
        with transaction.atomic(self.using, savepoint=False):
            if cancel_waiting(waiting.filter(run_when__isnull=False)):  # a part of a workflow
                self.add_workflow_notices([self.key(job)])
                return JobState.CANCELLED
        return JobState.BLOCKED if self.request_cancel_of_workflow(job) else None

    def _request_cancel(self, job: UUID) -> bool:
        running = self._in_states(job, [JobState.RUNNING])
        return bool(running.update(cancel_requested_at=datetime.now(UTC), version=NEXT_VERSION))

    def _in_states(self, job: UUID, states: Collection[JobState]) -> QuerySet[Job]:
        jobs = Job.objects.using(self.using).filter(pk=job, state__in=states)
        return jobs.exclude(backend=CELERY)  # only Celery can change these


def cancel_waiting(jobs: QuerySet[Job]) -> int:
    """Cancel jobs that no worker holds; return how many."""
    now = datetime.now(UTC)
    return jobs.update(
        state=JobState.CANCELLED,
        limit_slot=None,
        unique_key=Case(When(unique_within__gt=now, then=F("unique_key"))),
        finished_at=now,
        version=NEXT_VERSION,
    )
