"""Changes that users make to a job: cancel it, retry it, run it now."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from offload.lifecycle import RETRYABLE, WAITING, JobState
from offload.models import Job
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.session import NEXT_VERSION, Session

if TYPE_CHECKING:
    from django.db.models import QuerySet


DELETED_OWNER = "deleted"
"""Owner of the jobs of deleted users. Nobody has this name; without an owner, all staff would see
the jobs."""

RETRY_VALUES = {
    "attempt": 0,
    "worker_losses": 0,
    "expires_at": None,
    "finished_at": None,
    "cancel_requested_at": None,
    "return_value": None,
    "progress": None,
}
"""Columns of a job that is retried on request, which starts as if it had never run."""


class Control(Session):
    """Changes jobs on a user's behalf, in the caller's transaction, and notifies after commit.

    The times are those of the caller's clock, as in `enqueue`.
    """

    def cancel(self, job: UUID) -> JobState | None:
        """Cancel a waiting job, or request that a running one stops.

        Returns:
            CANCELLED, RUNNING (requested), or None if the job has finished or does not exist.
        """
        if self._cancel_waiting(job):
            state = JobState.CANCELLED
        elif self._request_cancel(job):
            state = JobState.RUNNING
            publish_after_commit(self.using, Hint.CONTROL)
        elif self._cancel_waiting(job):  # a running job may have gone back to waiting meanwhile
            state = JobState.CANCELLED
        else:
            return None
        publish_after_commit(self.using, Hint.CHANGED)
        return state

    def retry(self, job: UUID) -> bool:
        """Make a job that failed, was cancelled or expired ready again; return False otherwise."""
        is_changed = self._in_states(job, RETRYABLE).update(
            state=JobState.READY, run_after=datetime.now(UTC), version=NEXT_VERSION, **RETRY_VALUES
        )
        if is_changed:
            publish_after_commit(self.using, Hint.WORK, Hint.CHANGED)
        return bool(is_changed)

    def run_now(self, job: UUID) -> bool:
        """Make a scheduled job ready before its time; return False if it is not scheduled."""
        scheduled = self._in_states(job, [JobState.SCHEDULED])
        is_changed = scheduled.update(state=JobState.READY, version=NEXT_VERSION)
        if is_changed:
            publish_after_commit(self.using, Hint.WORK, Hint.CHANGED)
        return bool(is_changed)

    def disown(self, owners: Collection[str]) -> None:
        """Take jobs from owners who no longer exist. Reads the whole table: no index has owners."""
        jobs = Job.objects.using(self.using).filter(owner__in=owners)
        if jobs.update(owner=DELETED_OWNER, version=NEXT_VERSION):
            publish_after_commit(self.using, Hint.CHANGED)

    def _cancel_waiting(self, job: UUID) -> bool:
        waiting = self._in_states(job, WAITING)
        return bool(
            waiting.update(
                state=JobState.CANCELLED, finished_at=datetime.now(UTC), version=NEXT_VERSION
            )
        )

    def _request_cancel(self, job: UUID) -> bool:
        running = self._in_states(job, [JobState.RUNNING])
        return bool(running.update(cancel_requested_at=datetime.now(UTC), version=NEXT_VERSION))

    def _in_states(self, job: UUID, states: Collection[JobState]) -> QuerySet[Job]:
        return Job.objects.using(self.using).filter(pk=job, state__in=states)
