"""The jobs of the backends for tests, which are never saved to the database.

They are shared by all threads of the process, because Django creates a backend object for each
thread and async context.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.dispatch import receiver

from offload.backends.changes import send_cancelled
from offload.backends.rows import result_from_row
from offload.lifecycle import CANCELLABLE, RETRYABLE, WAITING, JobState, Outcome
from offload.models import Attempt, Job
from offload.results import OffloadResult
from offload.store.control import RETRY_VALUES
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob, NewJob, ProgressUpdates
from offload.testing.execution import run_attempt
from offload.timestamps import now_microseconds, to_datetime, to_microseconds
from offload.uuid7 import new_id

MAX_ATTEMPTS = 1000
"""Maximum number of attempts of one job."""

_TIMES = ("run_after", "expires_at", "enqueued_at")
"""Columns that the store writes as microseconds."""
_IDS = ("id", "parent")
"""Columns that the store writes as text."""


class RecordedJob:
    """A job in memory: its row and its failed attempts.

    Args:
        new_job: the row that a database backend would insert.
        using: alias in DATABASES where a task with `atomic=True` opens its transaction.
    """

    def __init__(self, new_job: NewJob, using: str) -> None:
        self.row = Job(**_model_values(new_job))
        self.attempts: list[Attempt] = []
        self.using = using

    def result(self) -> OffloadResult[Any]:
        """Return the job's current result."""
        return result_from_row(self.row, self.attempts)

    def run(self) -> BaseException | None:
        """Run all attempts at once, without delays; return why the job failed.

        Raises:
            AssertionError: if the job has not finished after MAX_ATTEMPTS.
        """
        for _ in range(MAX_ATTEMPTS):
            claimed = self._claim()
            outcome, error = run_attempt(claimed, self)
            self._record(claimed, outcome)
            if JobState(self.row.state).is_finished:
                return error
        raise AssertionError(
            f"{self.row.task_path} did not finish in {MAX_ATTEMPTS} attempts. Does it raise "
            "Snooze each time? Use run_jobs() on the DatabaseBackend, which runs one attempt."
        )

    def cancel(self) -> bool:
        """Cancel the job, or prevent its next attempt; return False if it has finished."""
        if self.row.state not in CANCELLABLE:
            return False
        if self.row.state == JobState.RUNNING:
            self.row.cancel_requested_at = _now()
        else:
            self.row.state = JobState.CANCELLED
            self.row.finished_at = _now()
        self.row.version += 1
        return True

    def retry(self) -> bool:
        """Make the job ready again; return False if its state does not allow it."""
        if self.row.state not in RETRYABLE:
            return False
        self.row.state = JobState.READY
        self.row.run_after = _now()
        for name, value in RETRY_VALUES.items():
            setattr(self.row, name, value)
        self.row.version += 1
        return True

    def finish(self, finished: Collection[FinishedJob]) -> list[ClaimedJob]:  # noqa: ARG002
        """Accept the outcome of an atomic task in its transaction; `run` records it later."""
        return []

    def keep_progress(
        self,
        progress: ProgressUpdates,
        finished: Collection[ClaimKey] = (),  # noqa: ARG002
    ) -> set[ClaimKey]:
        """Record the progress of the running attempt."""
        for _, text in progress:
            self.row.progress = text
        return {key for key, _ in progress}

    def _claim(self) -> ClaimedJob:
        """Start an attempt, as the store does when a worker claims the job."""
        row = self.row
        row.state = JobState.RUNNING
        row.fence += 1
        row.attempt += 1
        row.worker = new_id()
        row.last_attempted_at = _now()
        row.started_at = row.started_at or row.last_attempted_at
        row.progress = None
        row.version += 1
        names = [name for name in ClaimedJob._fields if name != "previous"]
        columns = {name: _column_value(getattr(row, name)) for name in names}
        previous = [
            (str(attempt.worker), attempt.exception_class_path, attempt.traceback)
            for attempt in self.attempts
        ]
        return ClaimedJob(**columns, previous=tuple(previous))

    def _record(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Record the outcome of an attempt, as the store does."""
        row = self.row
        row.state = JobState(outcome.state)
        is_cancelled = bool(row.state in WAITING and row.cancel_requested_at)
        if is_cancelled:
            row.state = JobState.CANCELLED
        if not outcome.counts:
            row.attempt -= 1
        row.return_value = outcome.return_value
        row.version += 1
        if row.state.is_finished:
            row.finished_at = _now()
        if outcome.failure is not None:
            self.attempts.append(self._failed_attempt(claimed, outcome.failure))
        if is_cancelled:
            send_cancelled(self.result())

    def _failed_attempt(self, claimed: ClaimedJob, failure: tuple[str, str, str]) -> Attempt:
        class_path, message, traceback = failure
        return Attempt(
            job_id=self.row.pk,
            fence=claimed.fence,
            number=claimed.attempt,
            worker=UUID(claimed.worker),
            started_at=self.row.last_attempted_at,
            finished_at=_now(),
            exception_class_path=class_path,
            message=message,
            traceback=traceback,
        )


_jobs: dict[UUID, RecordedJob] = {}


def add_jobs(jobs: Iterable[RecordedJob]) -> None:
    """Record jobs."""
    _jobs.update((job.row.pk, job) for job in jobs)


def find_recorded_jobs(ids: Iterable[UUID]) -> list[RecordedJob]:
    """Return those of the jobs that were recorded."""
    return [_jobs[pk] for pk in ids if pk in _jobs]


def jobs_of(backend: str) -> list[RecordedJob]:
    """Return the jobs of a backend, in the order in which they were enqueued."""
    return [job for job in list(_jobs.values()) if job.row.backend == backend]


def clear_jobs(backend: str | None = None) -> None:
    """Delete the recorded jobs of one backend, or of all."""
    if backend is None:
        _jobs.clear()
        return
    for job in jobs_of(backend):
        del _jobs[job.row.pk]


def replace_jobs(jobs: dict[UUID, RecordedJob]) -> dict[UUID, RecordedJob]:
    """Set the recorded jobs of all backends; return the previous ones."""
    global _jobs  # shared by the process
    _jobs, previous = jobs, _jobs
    return previous


@receiver(setting_changed)
def _clear_with_tasks(*, setting: str, **_: Any) -> None:
    if setting == "TASKS":
        clear_jobs()


def _now() -> datetime:
    return to_datetime(now_microseconds())


def _model_values(new_job: NewJob) -> dict[str, Any]:
    """Return the model's values of a row that the store would write."""
    values = new_job._asdict()
    for name in _TIMES:
        if values[name] is not None:
            values[name] = to_datetime(values[name])
    for name in _IDS:
        if values[name] is not None:
            values[name] = UUID(values[name])
    return values


def _column_value(value: Any) -> Any:
    """Return a value of the model as the store would read it."""
    match value:
        case datetime():
            return to_microseconds(value)
        case UUID():
            return str(value)
    return value
