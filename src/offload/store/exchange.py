"""The path of a job through the store: inserted, claimed, finished, promoted."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import WAITING, JobState, cancelled_instead
from offload.models import Attempt
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.records import (
    CallRow,
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    FinishedJob,
    NewJob,
    ProgressUpdates,
)
from offload.store.session import Session
from offload.store.statements import statement
from offload.timestamps import now_microseconds


class Exchange(Session):
    """Inserts, claims and finishes jobs."""

    # --- enqueueing ---------------------------------------------------------------------

    def insert(self, job: NewJob) -> None:
        """Add one job, in the caller's transaction, and notify workers after the commit."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "insert"), job)
        failpoint("enqueue.inserted")
        publish_after_commit(self.using, Hint.WORK)

    def insert_many(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        """Add jobs, in the caller's transaction, and notify workers after the commit.

        Args:
            job: a row with the columns that the jobs have in common.
            calls: the id and the arguments of each job.
        """
        self._insert_rows(job, calls)
        failpoint("enqueue.inserted")
        publish_after_commit(self.using, Hint.WORK)

    def _insert_rows(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        # MySQL's driver makes one statement of many, as long as all values are parameters.
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "insert"), job.rows_for(calls))

    # --- the worker's exchange ----------------------------------------------------------

    def exchange(
        self,
        worker: str,
        finished: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
    ) -> ExchangeResult:
        """Write outcomes and progress, and claim jobs, in one transaction.

        Finishing comes first and waits for locks. Progress and claims skip locked rows. (A claim
        may hold locks on rows that it does not return, so finishing must never skip.)

        Args:
            worker: id of the worker, as `key` returns it.
            finished: jobs with their outcomes.
            request: how many jobs to claim, and from where.
            progress: the progress of running jobs, sorted by id.
        """
        with transaction.atomic(self.using), self._pipeline():
            self._prepare_transaction(waits=bool(finished))
            failpoint("exchange.started")
            states = self._finish(finished)
            failpoint("exchange.finished")
            written: set[ClaimKey] = set()
            if progress:
                written = self.keep_progress(progress, states)
            claim_started = time.monotonic()
            claimed = self._claim(worker, request) if request else []
            claim_seconds = time.monotonic() - claim_started
            failpoint("exchange.claimed")
        failpoint("exchange.committed")
        claimed = self._with_failed_attempts(claimed)
        refused = [job for job, _ in finished if job.key not in states]
        cancelled = cancelled_by_request(finished, states)
        return ExchangeResult(refused, claimed, written, claim_seconds, cancelled)

    def finish(self, finished: Sequence[FinishedJob]) -> list[ClaimedJob]:
        """Write outcomes, in the caller's transaction; return the jobs refused as too late."""
        states = self._finish(finished)
        return [job for job, _ in finished if job.key not in states]

    def _finish(self, finished: Sequence[FinishedJob]) -> dict[ClaimKey, int]:
        """Write outcomes; return the states of the jobs that were not refused."""
        if not finished:
            return {}
        finished = sorted(finished, key=lambda pair: pair[0].id)
        states = self._write_outcomes(finished)
        self._record_failures(pair for pair in finished if pair[0].key in states)
        return states

    @abstractmethod
    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        """Write the progress of jobs, sorted by id, in the caller's transaction.

        Jobs that another worker holds by now are left out, and so are locked rows: waiting for
        a lock would hold up all other jobs.

        Args:
            progress: the claims and their progress.
            finished: claims that this transaction has finished, so that it holds their rows.

        Returns:
            The claims whose progress was written.
        """

    @abstractmethod
    def _write_outcomes(self, finished: Sequence[FinishedJob]) -> dict[ClaimKey, int]:
        """Write outcomes, sorted by job id; return the states of the claims that were current.

        A job that would run again is cancelled instead if its cancellation was requested.
        """

    @abstractmethod
    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        """Mark the most urgent ready jobs as running here; return them, most urgent first.

        A worker without a row claims nothing: others would take its jobs for lost and run them too.
        """

    def _record_failures(self, finished: Iterable[FinishedJob]) -> None:
        failures = [
            Attempt(
                job_id=UUID(job.id),
                fence=job.fence,
                number=job.attempt,
                worker=UUID(job.worker),
                started_at=job.last_attempted_at,
                finished_at=self.now(),
                exception_class_path=outcome.failure[0],
                message=outcome.failure[1],
                traceback=outcome.failure[2],
            )
            for job, outcome in finished
            if outcome.failure
        ]
        if failures:
            Attempt.objects.using(self.using).bulk_create(failures)

    def _with_failed_attempts(self, claimed: list[ClaimedJob]) -> list[ClaimedJob]:
        """Add to each job the attempts that failed before, if there may be any."""
        retried = [UUID(job.id) for job in claimed if job.attempt > 1 or job.worker_losses]
        if not retried:
            return claimed
        rows = (
            Attempt.objects.using(self.using)
            .filter(job_id__in=retried)
            .order_by("job_id", "fence")
            .values_list("job_id", "worker", "exception_class_path", "traceback")
        )
        attempts: defaultdict[UUID, list[tuple[str, str, str]]] = defaultdict(list)
        for job_id, worker, path, traceback in rows:
            attempts[job_id].append((str(worker), path, traceback))
        return [job._replace(previous=tuple(attempts[UUID(job.id)])) for job in claimed]

    # --- ready and scheduled jobs -------------------------------------------------------

    def ready_queues(self, backend: str) -> list[str]:
        """Return the names of the queues that have ready jobs."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_queues"), {"backend": backend})
            return [name for (name,) in cursor.fetchall()]

    def poll(self, backend: str) -> tuple[list[str], float | None]:
        """Query the whole queue in one statement, as an idle worker does.

        Returns:
            The names of the queues that have ready jobs of the backend, and the seconds until
            the next scheduled job of any backend is due, None if no job is scheduled.
        """
        parameters: dict[str, Any] = {"backend": backend, "now": now_microseconds()}
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "poll"), parameters)
            rows = cursor.fetchall()
        queues: list[str] = []
        microseconds: int | None = None
        for name, due_in in rows:
            if name is None:
                microseconds = due_in
            else:
                queues.append(name)
        return queues, seconds_until(microseconds)

    @abstractmethod
    def promote(self) -> int:
        """Make scheduled jobs ready that are due, at most 1,000; return how many."""


def cancelled_by_request(
    finished: Sequence[FinishedJob], states: Mapping[ClaimKey, int]
) -> list[FinishedJob]:
    """Return the jobs that were cancelled instead of running again.

    Args:
        finished: jobs and their outcomes.
        states: the states that were written.
    """
    return [
        (job, cancelled_instead(outcome))
        for job, outcome in finished
        if outcome.state in WAITING and states.get(job.key) == JobState.CANCELLED
    ]


def seconds_until(microseconds: int | None) -> float | None:
    """Return the seconds until a time, 0 if it has passed; None if there is no such time."""
    if microseconds is None:
        return None
    return max(0.0, microseconds / 1_000_000)
