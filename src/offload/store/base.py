"""The verbs: everything that can happen to a job. No other room writes one.

Each verb is one transaction, or part of the caller's. A write about a running job names its
id and its run, and must find it running: whoever lost a job cannot change it any more.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F
from django.db.models.expressions import RawSQL

from offload.failpoints import failpoint
from offload.lifecycle import JobFailure, JobState, Outcome, lost
from offload.models import Attempt, Job, Worker
from offload.store.reads import JobReads
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
from offload.store.statements import statement
from offload.timestamps import now_microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

WORKER_LOST = "offload.exceptions.WorkerLost"
MAX_RERUN_DELAY_SECONDS = 60.0
"""Seconds until a job is run again whose process died, at most."""
LOCK_TIMEOUT_SECONDS = 1
"""Seconds that an exchange waits for a lock."""
NEXT = F("version") + 1
MAX_ROWS_PER_STATEMENT = 1000
"""Rows that one statement of a duty changes at most, so that it holds its locks briefly."""


class Store(JobReads, ABC):
    """The jobs of one database. Cheap to make; holds no connection of its own.

    Args:
        using: alias in DATABASES. Verbs use the calling thread's connection of that alias, so
            they take part in the caller's transaction.
    """

    clock: ClassVar[str]
    """SQL for the database's clock: microseconds since 1970 UTC."""
    keeps_dead_entries: ClassVar[bool] = True
    """Whether a transaction elsewhere keeps the index entries of jobs that were claimed."""

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.using]

    @property
    def address(self) -> str:
        """What tells this database from others."""
        settings = self.connection.settings_dict
        return ":".join(str(settings[name]) for name in ("ENGINE", "HOST", "PORT", "NAME"))

    def enable_keepalives(self) -> None:  # the drivers of the others have no way
        """Have this thread's connection, and copies of it, notice soon if the server is gone."""

    # --- enqueueing ---------------------------------------------------------------------

    def insert(self, job: NewJob) -> None:
        """Add one job, in the caller's transaction."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "insert"), job)

    @abstractmethod
    def insert_many(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        """Add jobs in one statement, in the caller's transaction.

        Args:
            job: what they have in common.
            calls: what tells them apart.
        """

    # --- the engine's exchange ------------------------------------------------------------

    def exchange(
        self,
        worker: str,
        finished: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
    ) -> ExchangeResult:
        """Write how jobs ended and how far others are, and claim the next ones: one transaction.

        Finishing comes first and waits for locks; what follows skips what is locked. (A claim may
        hold locks on rows that it does not return, so finishing must never skip.)
        """
        with transaction.atomic(self.using), self._pipeline():
            self._prepare(waits=bool(finished))
            failpoint("exchange.started")
            refused = self.finish(finished) if finished else []
            failpoint("exchange.finished")
            over = {job.key for job, _ in finished if job not in refused} if progress else set()
            moved = self.keep_progress(progress, over) if progress else set()
            begun = time.monotonic()
            claimed = self._claim(worker, request) if request else []
            seconds = time.monotonic() - begun
            failpoint("exchange.claimed")
        failpoint("exchange.committed")
        if any(job.attempt > 1 or job.worker_losses for job in claimed):
            claimed = self._with_previous(claimed)
        return ExchangeResult(refused, claimed, moved, seconds)

    def finish(self, finished: Sequence[FinishedJob]) -> list[ClaimedJob]:
        """Write outcomes, in the caller's transaction; return those refused as too late."""
        finished = sorted(finished, key=lambda pair: pair[0].id)
        accepted = self._finish(finished)
        self._keep_failures(pair for pair in finished if pair[0].key in accepted)
        return [job for job, _ in finished if job.key not in accepted]

    def _pipeline(self) -> AbstractContextManager[object]:
        """Let statements within wait for their answers together, if the driver can."""
        return nullcontext()

    def _prepare(self, *, waits: bool) -> None:
        """Wait at most LOCK_TIMEOUT_SECONDS for each lock: the engine must beat.

        A user's transaction that holds a running job's row, by `cancel()`, may take long.

        Args:
            waits: whether the transaction will wait for locks at all.
        """

    @abstractmethod
    def _finish(self, finished: Sequence[FinishedJob]) -> set[ClaimKey]:
        """Write outcomes, sorted by job id; return the keys of those that were still current."""

    @abstractmethod
    def keep_progress(
        self, progress: ProgressUpdates, over: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        """Write how far jobs are, sorted by id, in the caller's transaction; return whose it was.

        Left out are jobs that somebody else holds by now, and rows that somebody has locked: it
        waits for no lock, so it holds up nobody. Those of `over` finished in this very transaction,
        so that their rows are its own.
        """

    @abstractmethod
    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        """Mark the most urgent ready jobs as running here; return them, most urgent first."""

    def _keep_failures(self, finished: Iterable[FinishedJob]) -> None:
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

    def _with_previous(self, claimed: list[ClaimedJob]) -> list[ClaimedJob]:
        tried = [UUID(job.id) for job in claimed if job.attempt > 1 or job.worker_losses]
        rows = (
            Attempt.objects.using(self.using)
            .filter(job_id__in=tried)
            .order_by("job_id", "fence")
            .values_list("job_id", "worker", "exception_class_path", "traceback")
        )
        previous = {
            key: tuple((str(row[1]), row[2], row[3]) for row in group)
            for key, group in groupby(rows, key=lambda row: row[0])
        }
        return [job._replace(previous=previous.get(UUID(job.id), ())) for job in claimed]

    def ready_queues(self, backend: str) -> list[str]:
        """Return the names of the queues in which jobs are ready."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_queues"), {"backend": backend})
            return [name for (name,) in cursor.fetchall()]

    # --- the engine's duties ----------------------------------------------------------------

    def register(self, worker: Worker, *, lease: float) -> None:
        """Add an engine; it holds its jobs as long as it beats within its lease."""
        worker.started_at = worker.heartbeat_at = self.now()
        worker.expires_at = self.now(after=lease)
        worker.save(using=self.using, force_insert=True)

    def heartbeat(self, worker: UUID, *, lease: float) -> bool:
        """Renew an engine's lease; return False if others already took it for dead."""
        mine = Worker.objects.using(self.using).filter(pk=worker)
        return bool(mine.update(heartbeat_at=self.now(), expires_at=self.now(after=lease)))

    def deregister(self, worker: UUID) -> None:
        """Remove an engine that has handed back all its jobs."""
        Worker.objects.using(self.using).filter(pk=worker).delete()

    def held_jobs(
        self, worker: UUID, among: Collection[ClaimKey] | None = None
    ) -> dict[ClaimKey, bool]:
        """Return the jobs that an engine holds, and which of them somebody wants cancelled.

        Args:
            worker: the engine.
            among: look for no others, by their ids.
        """
        if among is not None:
            jobs = Job.objects.using(self.using).filter(pk__in=[UUID(pk) for pk, _ in among])
            rows = jobs.values_list("pk", "fence", "cancel_requested_at")
            found = {(self.key(pk), run): wanted is not None for pk, run, wanted in rows}
            return {key: wanted for key, wanted in found.items() if key in among}
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "held_jobs"), {"worker": self.key(worker)})
            return {(self.key(pk), run): bool(wanted) for pk, run, wanted in cursor.fetchall()}

    @abstractmethod
    def promote(self) -> int:
        """Make scheduled jobs ready whose time has come; return how many (at most 1,000)."""

    def poll(self, backend: str) -> tuple[list[str], float | None]:
        """Tell in one statement what an idle engine asks for.

        Returns:
            The names of the queues in which jobs of the backend are ready, and the seconds
            until the next scheduled job is due, of any backend; None if there is none.
        """
        sql = statement(self.dialect, "poll").replace("{clock}", self.clock)
        with self.connection.cursor() as cursor:
            cursor.execute(sql, {"backend": backend, "now": now_microseconds()})
            rows = cursor.fetchall()
        (left,) = (left for name, left in rows if name is None)
        return [name for name, _ in rows if name is not None], seconds_left(left)

    def expired_workers(self) -> dict[UUID, datetime]:
        """Return the engines whose lease ran out, and when each of them beat last."""
        expired = Worker.objects.using(self.using).filter(expires_at__lt=self.now())
        return {pk: beat for pk, beat in expired.values_list("pk", "heartbeat_at") if beat}

    def rescue(
        self, silent: Collection[UUID] = (), gone: Collection[UUID] = ()
    ) -> list[FinishedJob]:
        """Take back the jobs of engines that are dead; return them with their outcomes.

        Args:
            silent: engines to be removed, if they have not beaten meanwhile.
            gone: engines to be removed, whatever their lease says.
        """
        with transaction.atomic(self.using):
            workers = Worker.objects.using(self.using)
            if silent:
                workers.filter(pk__in=silent, expires_at__lt=self.now()).delete()
            if gone:
                workers.filter(pk__in=gone).delete()
            orphans = self._orphans()
            outcomes = [(job, lost_outcome(job, "its engine died")) for job in orphans]
            failpoint("rescue.before_finish")
            self._prepare(waits=bool(outcomes))
            refused = {job.key for job in self.finish(outcomes)} if outcomes else set()
        return [pair for pair in outcomes if pair[0].key not in refused]

    def claimed_by(self, worker: str) -> list[ClaimedJob]:
        """Return the jobs that an engine holds, as the database sees it."""
        return self._read_claimed(statement(self.dialect, "claimed_by"), {"worker": worker})

    def _orphans(self) -> list[ClaimedJob]:
        return self._read_claimed(
            statement(self.dialect, "orphans"), {"limit": MAX_ROWS_PER_STATEMENT}
        )

    def _read_claimed(self, sql: str, parameters: dict[str, Any]) -> list[ClaimedJob]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return [
                ClaimedJob._make((self.key(row[0]), *row[1:-1], self.key(row[-1]), ()))
                for row in cursor.fetchall()
            ]

    def finished_before(
        self, backend: str, state: JobState, *, before: datetime, queue_name: str | None = None
    ) -> QuerySet[Job]:
        """Return the jobs of a finished state that ended before a time, the oldest first.

        Args:
            backend: alias in TASKS.
            state: a finished one.
            before: when they must have ended.
            queue_name: one queue, or None for any.
        """
        old = Job.objects.using(self.using).filter(
            backend=backend, state=state, finished_at__isnull=False, finished_at__lt=before
        )
        if queue_name is not None:
            old = old.filter(queue_name=queue_name)
        return old.order_by("state", "finished_at")

    def prune(self, old: QuerySet[Job]) -> Iterator[int]:
        """Delete `old` jobs with their attempts, and yield after each 1,000 how many it were.

        Each batch is a transaction of its own, and passes over what somebody else holds.
        """
        batch: list[tuple[UUID, Any]] = []
        while True:
            # Where the last batch stopped: what it passed over, or deleted, is not read again.
            rest = old.filter(finished_at__gte=batch[-1][1]) if batch else old
            with transaction.atomic(self.using):
                self._prepare(waits=True)
                free = rest.select_for_update(skip_locked=True)
                batch = list(free.values_list("pk", "finished_at")[:MAX_ROWS_PER_STATEMENT])
                deleted = self._forget([pk for pk, _ in batch])
            yield deleted
            if len(batch) < MAX_ROWS_PER_STATEMENT:
                return

    def _forget(self, jobs: Sequence[UUID]) -> int:
        if not jobs:
            return 0
        Attempt.objects.using(self.using).filter(job_id__in=jobs).delete()
        failpoint("prune.attempts_deleted")
        finished = Job.objects.using(self.using).filter(pk__in=jobs, finished_at__isnull=False)
        return finished.delete()[0]

    def diagnose(self) -> dict[str, str]:
        """Ask the server for what checks judge; the names are the server's own."""
        self.connection.ensure_connection()
        return {}

    # --- what people ask for -------------------------------------------------------------

    def cancel(self, job: UUID) -> JobState | None:
        """Cancel a waiting job at once, or ask for a running one to be stopped.

        Returns:
            CANCELLED, RUNNING (asked for), or None if the job has ended or does not exist.
        """
        row = Job.objects.using(self.using).filter(pk=job)
        waiting = row.filter(state__in=[JobState.SCHEDULED, JobState.READY])
        if waiting.update(state=JobState.CANCELLED, finished_at=self.now(), version=NEXT):
            return JobState.CANCELLED
        if row.filter(state=JobState.RUNNING).update(cancel_requested_at=self.now(), version=NEXT):
            return JobState.RUNNING
        # Between the two looks a running job may have become a waiting one again.
        if waiting.update(state=JobState.CANCELLED, finished_at=self.now(), version=NEXT):
            return JobState.CANCELLED
        return None

    def retry(self, job: UUID) -> bool:
        """Make a job that failed, was cancelled or expired ready again; False if it is not so."""
        finished = Job.objects.using(self.using).filter(
            pk=job, state__in=[JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED]
        )
        return bool(
            finished.update(
                state=JobState.READY,
                attempt=0,
                worker_losses=0,
                run_after=self.now(),
                expires_at=None,
                finished_at=None,
                cancel_requested_at=None,
                return_value=None,
                progress=None,
                version=NEXT,
            )
        )

    def run_now(self, job: UUID) -> bool:
        """Make a scheduled job ready before its time; False if it is not scheduled."""
        scheduled = Job.objects.using(self.using).filter(pk=job, state=JobState.SCHEDULED)
        return bool(scheduled.update(state=JobState.READY, version=NEXT))

    # --- dialect -------------------------------------------------------------------------

    def now(self, *, after: float = 0.0) -> Any:
        """Return the database's clock, plus `after` seconds, as an expression for a query."""
        field = Job._meta.get_field("run_after")
        sql = f"({self.clock} + {int(after * 1_000_000)})"
        return RawSQL(sql, (), output_field=field)  # noqa: S611  # no text from outside


def seconds_left(microseconds: int | None) -> float | None:
    """Return the seconds until something is due, from what the database says."""
    return None if microseconds is None else max(0.0, microseconds / 1_000_000)


def lost_outcome(job: ClaimedJob, reason: str) -> Outcome:
    """Return the outcome of a job whose process died: run again, or stopped as poisonous.

    One of the jobs in a process may have killed it, and nobody knows which: they come back at
    different moments, so that the same ones do not meet again.
    """
    for_good = job.worker_losses + 1 > job.max_worker_losses
    verdict = "it is not run again" if for_good else "it is run again"
    message = f"The job was lost for the {job.worker_losses + 1}. time ({reason}); {verdict}."
    delay = random.uniform(0, min(MAX_RERUN_DELAY_SECONDS, 2.0**job.worker_losses))  # noqa: S311  # no secret
    return lost(JobFailure(WORKER_LOST, message, message), for_good=for_good, delay=delay)
