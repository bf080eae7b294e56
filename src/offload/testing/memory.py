"""Jobs of the backends that need no database: a table in memory, and the verbs that change it.

The table belongs to the process, because Django makes a backend object per thread and async
context, and all of them must see the same jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.core.signals import setting_changed
from django.dispatch import receiver

from offload.lifecycle import RETRYABLE, WAITING, JobState, Outcome
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
from offload.timestamps import now_microseconds, to_datetime

if TYPE_CHECKING:
    from datetime import datetime

_lock = threading.RLock()
_jobs: dict[UUID, MemoryJob] = {}


def forget_jobs() -> None:
    """Forget the jobs of all backends in memory. The pytest plugin does so before each test."""
    _jobs.clear()


def swap_jobs(jobs: dict[UUID, MemoryJob]) -> dict[UUID, MemoryJob]:
    """Put another table in the place of the one that is there; return that one."""
    global _jobs  # the table of the process
    _jobs, before = jobs, _jobs
    return before


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == "TASKS":
        forget_jobs()


class MemoryAttempt(NamedTuple):
    """What a row of the table of failed attempts holds, with the same names."""

    fence: int
    worker: UUID
    exception_class_path: str
    traceback: str
    message: str


class MemoryJob:
    """What a job's row holds, with the same names."""

    def __init__(self, new: NewJob) -> None:
        self.new = new
        self.pk = UUID(new.id)
        self.state = new.state
        self.backend = new.backend
        self.queue_name = new.queue_name
        self.priority = new.priority
        self.task_path = new.task_path
        self.arguments = new.arguments
        self.run_after = to_datetime(new.run_after)
        self.enqueued_at = to_datetime(new.enqueued_at)
        self.finished_at: datetime | None = None
        self.return_value: str | None = None
        self.max_attempts = new.max_attempts
        self.max_worker_losses = new.max_worker_losses
        self.owner = new.owner
        self.tenant = new.tenant
        self.request_id = new.request_id
        self.parent = new.parent and UUID(new.parent)
        self.version = 0
        self.progress: str | None = None
        self.attempt = 0
        self.worker_losses = 0
        self.fence = 0
        self.worker: UUID | None = None
        self.failures: list[MemoryAttempt] = []
        self._due = new.run_after
        self._began: list[int] = []
        self.cancel_requested_at: datetime | None = None

    @property
    def expires_at(self) -> datetime | None:
        moment = self.new.expires_at
        return None if moment is None else to_datetime(moment)

    @property
    def started_at(self) -> datetime | None:
        return to_datetime(self._began[0]) if self._began else None

    @property
    def last_attempted_at(self) -> datetime | None:
        return to_datetime(self._began[-1]) if self._began else None

    @property
    def is_due(self) -> bool:
        return self._due <= now_microseconds()

    def run_now(self) -> bool:
        if self.state == JobState.SCHEDULED:
            self.state = JobState.READY
            self.version += 1
            return True
        return False

    def claim(self, worker: str) -> ClaimedJob:
        """Mark the job as running; return what an executor needs."""
        self.state = JobState.RUNNING
        self.version += 1
        self.fence += 1
        self.attempt += 1
        self.progress = None
        self.worker = UUID(worker)
        self._began.append(now_microseconds())
        shared = self.new._asdict().items()
        return ClaimedJob(
            **{name: value for name, value in shared if name in ClaimedJob._fields},
            fence=self.fence,
            attempt=self.attempt,
            started_at=self._began[0],
            last_attempted_at=self._began[-1],
            worker_losses=self.worker_losses,
            worker=worker,
            previous=tuple(
                (str(tried.worker), tried.exception_class_path, tried.traceback)
                for tried in self.failures
            ),
        )

    def finish(self, outcome: Outcome) -> None:
        """Write how an attempt ended; a job that somebody wants cancelled does not wait again."""
        state = JobState(outcome.state)
        if state in WAITING and self.cancel_requested_at:
            state = JobState.CANCELLED
        self.version += 1
        self.state = state
        self.attempt -= not outcome.counts
        self.worker_losses += outcome.worker_lost
        self.return_value = outcome.return_value
        if outcome.delay > 0:
            self._due = now_microseconds() + int(outcome.delay * 1_000_000)
            self.run_after = to_datetime(self._due)
        if state.is_finished:
            self.finished_at = to_datetime(now_microseconds())
        if outcome.failure is not None and self.worker is not None:
            path, message, traceback = outcome.failure
            failure = MemoryAttempt(self.fence, self.worker, path, traceback, message)
            self.failures.append(failure)

    def cancel(self) -> JobState | None:
        """Do what `Store.cancel` does."""
        if self.state in WAITING:
            self.state = JobState.CANCELLED
            self.finished_at = to_datetime(now_microseconds())
        elif self.state == JobState.RUNNING:
            self.cancel_requested_at = to_datetime(now_microseconds())
        else:
            return None
        self.version += 1
        return JobState(self.state)

    def retry(self) -> bool:
        """Do what `Store.retry` does."""
        if self.state not in RETRYABLE:
            return False
        self.new = self.new._replace(expires_at=None)
        self.state = JobState.READY
        self.run_after = to_datetime(now_microseconds())
        self.attempt = self.worker_losses = 0
        self.finished_at = self.return_value = self.progress = None
        self.cancel_requested_at = None
        self.version += 1
        return True


class MemoryStore:
    """The verbs of `offload.store.base.Store` that tests need, on the table in memory.

    Args:
        using: alias in DATABASES in which tasks with `atomic=True` open their transaction.
    """

    def __init__(self, using: str) -> None:
        self.using = using

    def insert(self, job: NewJob) -> None:
        self.insert_many(job, [job[:2]])

    def insert_many(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        rows = [NewJob._make(row) for row in job.rows_for(calls)]
        with _lock:
            _jobs.update((UUID(row.id), MemoryJob(row)) for row in rows)

    def exchange(
        self,
        worker: str,
        finished: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
    ) -> ExchangeResult:
        moved = self.keep_progress(progress)
        return ExchangeResult(self.finish(finished), self._claim(worker, request), moved)

    def finish(self, finished: Sequence[FinishedJob]) -> list[ClaimedJob]:
        refused = []
        with _lock:
            for claimed, outcome in finished:
                job = _jobs.get(UUID(claimed.id))
                if job and job.state == JobState.RUNNING and job.fence == claimed.fence:
                    job.finish(outcome)
                else:
                    refused.append(claimed)
        return refused

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        moved = set()
        with _lock:
            for key, text in progress:
                job = _jobs.get(UUID(key[0]))
                if (
                    job
                    and job.fence == key[1]
                    and (job.state == JobState.RUNNING or key in finished)
                ):
                    job.progress = text
                    moved.add(key)
        return moved

    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        with _lock:
            ready = [
                job
                for job in self.rows(request.backend, state=JobState.READY)
                if job.queue_name in request.queues
            ]
            ready.sort(key=lambda job: (-job.priority, job.run_after, job.pk))
            fitting = [
                job
                for is_async, count in request.by_kind()
                for job in [job for job in ready if job.new.is_async is is_async][:count]
            ]
            return sorted((job.claim(worker) for job in fitting), key=ClaimedJob.urgency)

    def claim_at_once(self, identifier: UUID, worker: str) -> ClaimedJob | None:
        """Claim a waiting job, also before its time; None if it does not wait."""
        with _lock:
            job = _jobs.get(identifier)
            return job.claim(worker) if job and job.state in WAITING else None

    def promote(self) -> int:
        with _lock:
            return sum(job.run_now() for job in _jobs.values() if job.is_due)

    def run_now(self, job: UUID) -> bool:
        with _lock:
            return job in _jobs and _jobs[job].run_now()

    def ready_queues(self, backend: str) -> list[str]:
        return list({job.queue_name for job in self.rows(backend, state=JobState.READY)})

    def read(self, job: UUID) -> tuple[MemoryJob | None, list[MemoryAttempt]]:
        row = _jobs.get(job)
        return row, [] if row is None else row.failures

    def find(self, jobs: Collection[UUID]) -> list[MemoryJob]:
        return [_jobs[job] for job in jobs if job in _jobs]

    def failures(self, jobs: Collection[UUID]) -> dict[UUID, MemoryAttempt]:
        return {job.pk: job.failures[-1] for job in self.find(jobs) if job.failures}

    def attempts_at(self, job: MemoryJob) -> list[MemoryAttempt]:
        return job.failures

    def rows(self, backend: str, **columns: Any) -> list[MemoryJob]:
        """Return the jobs of a backend whose columns have these values, in order of enqueueing."""
        return [
            job
            for job in list(_jobs.values())
            if job.backend == backend
            and all(getattr(job, name) == value for name, value in columns.items())
        ]

    def cancel(self, job: UUID) -> JobState | None:
        with _lock:
            return _jobs[job].cancel() if job in _jobs else None

    def retry(self, job: UUID) -> bool:
        with _lock:
            return job in _jobs and _jobs[job].retry()

    def key(self, value: Any) -> str:
        return str(value)
