"""Workers, their leases, and the jobs that they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Job, Worker
from offload.store.exchange import Exchange, cancelled_by_request
from offload.store.freed_keys import limit_keys
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement

if TYPE_CHECKING:
    from datetime import datetime


class Workers(Exchange):
    """Registers workers, renews their leases, and rescues the jobs of dead ones."""

    def register(self, worker: Worker, *, lease: float) -> None:
        """Add a worker.

        Args:
            worker: the row.
            lease: seconds for which it holds its jobs without a heartbeat.
        """
        worker.started_at = worker.heartbeat_at = self.now()
        worker.expires_at = self.now(after=lease)
        worker.save(using=self.using, force_insert=True)

    def heartbeat(
        self,
        worker: UUID,
        *,
        lease: float,
        held_up: Collection[ClaimKey] = (),
        high_load: float | None = None,
    ) -> bool:
        """Renew a worker's lease; return False if other workers have taken over its jobs.

        Args:
            worker: its id.
            lease: seconds for which it holds its jobs without another heartbeat.
            held_up: its running jobs in processes that do not respond.
            high_load: the load of its machine, if it claims no jobs because of it.
        """
        rows = Worker.objects.using(self.using).filter(pk=worker)
        updated = rows.update(
            heartbeat_at=self.now(),
            expires_at=self.now(after=lease),
            held_up_jobs=",".join(str(UUID(job)) for job, _ in held_up),
            high_load=high_load,
        )
        return bool(updated)

    def deregister(self, worker: UUID) -> None:
        """Remove a worker that holds no jobs."""
        Worker.objects.using(self.using).filter(pk=worker).delete()

    def held_jobs(
        self, worker: UUID, among: Collection[ClaimKey] | None = None
    ) -> dict[ClaimKey, bool]:
        """Return the claims that a worker holds, and whether cancellation of each was requested.

        Args:
            worker: its id.
            among: check only these claims, by the ids of their jobs; None for all.
        """
        if among is None:
            with self.connection.cursor() as cursor:
                cursor.execute(statement(self.dialect, "held_jobs"), {"worker": self.key(worker)})
                rows = cursor.fetchall()
            return {(self.key(pk), fence): bool(is_requested) for pk, fence, is_requested in rows}
        jobs = Job.objects.using(self.using).filter(pk__in=[UUID(pk) for pk, _ in among])
        held = {
            (self.key(pk), fence): requested_at is not None
            for pk, fence, requested_at in jobs.values_list("pk", "fence", "cancel_requested_at")
        }
        return {key: is_requested for key, is_requested in held.items() if key in among}

    def claimed_by(self, worker: str) -> list[ClaimedJob]:
        """Return the jobs that a worker holds, as the database has them."""
        return self._read_claimed("claimed_by", {"worker": worker})

    def expired_workers(self) -> dict[UUID, datetime]:
        """Return the workers whose lease has expired, and the time of their last heartbeat."""
        expired = Worker.objects.using(self.using).filter(expires_at__lt=self.now())
        rows = expired.values_list("pk", "heartbeat_at")
        return {pk: heartbeat_at for pk, heartbeat_at in rows if heartbeat_at}

    def rescue(
        self,
        expired: Collection[UUID] = (),
        exited: Collection[UUID] = (),
        *,
        rescuer: UUID | None = None,
    ) -> list[FinishedJob]:
        """Return the jobs of dead workers, which have no row, to their queues.

        Args:
            expired: workers to remove, unless they have renewed their lease meanwhile.
            exited: workers to remove whatever their lease says.
            rescuer: the worker that calls; its own jobs stay, even if its row was deleted.

        Returns:
            The jobs with their outcomes: run again, or failed.
        """
        with transaction.atomic(self.using):
            workers = Worker.objects.using(self.using)
            if expired:
                workers.filter(pk__in=expired, expires_at__lt=self.now()).delete()
            if exited:
                workers.filter(pk__in=exited).delete()
            parameters = {
                "limit": MAX_ROWS_PER_STATEMENT,
                "rescuer": self.key(rescuer or UUID(int=0)),
            }
            orphans = self._read_claimed("orphans", parameters)
            outcomes = [(job, lost_outcome(job, "its worker died")) for job in orphans]
            failpoint("rescue.before_finish")
            self._prepare_transaction(waits=bool(outcomes))
            states = self._finish(outcomes)
            self.add_workflow_notices(_ended_parts(outcomes, states))
            self.add_notices(dict.fromkeys(limit_keys(outcomes)))
        cancelled = {job.key: outcome for job, outcome in cancelled_by_request(outcomes, states)}
        return [
            (job, cancelled.get(job.key, outcome)) for job, outcome in outcomes if job.key in states
        ]

    def _read_claimed(self, name: str, parameters: dict[str, Any]) -> list[ClaimedJob]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, name), parameters)
            jobs = [ClaimedJob(*row) for row in cursor.fetchall()]
            return [
                job._replace(
                    id=self.key(job.id),
                    worker=self.key(job.worker),
                    workflow=None if job.workflow is None else self.key(job.workflow),
                )
                for job in jobs
            ]


def _ended_parts(outcomes: Sequence[FinishedJob], states: Mapping[ClaimKey, int]) -> list[str]:
    """Return the parts of workflows that do not run again, for a worker to tell their ends."""
    return [
        job.id
        for job, _ in outcomes
        if job.workflow is not None and job.key in states and JobState(states[job.key]).is_finished
    ]
