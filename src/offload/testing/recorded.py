"""The jobs of the backends for tests, which are never saved to the database.

They are shared by all threads of the process, because Django creates a backend object for each
thread and async context.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.dispatch import receiver

from offload.backends.base import get_backend
from offload.backends.changes import key_of_job, send_finished
from offload.backends.rows import JobBatch, job_of, result_from_row
from offload.exceptions import InvalidArguments
from offload.lifecycle import CANCELLABLE, RETRYABLE, WAITING, JobState, Outcome
from offload.models import Attempt
from offload.results import OffloadResult
from offload.serialization import decode
from offload.store.control import key_is_held
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    FinishedJob,
    NewJob,
    ProgressUpdates,
    UniqueCall,
    UniqueTerms,
    Written,
    as_claimed,
)
from offload.store.unique_jobs import has_expired, replacement
from offload.store.waiting_values import RETRY_VALUES
from offload.store.workflow_records import REFERENCE, NewParts, NewWorkflow
from offload.testing.execution import run_attempt
from offload.testing.recorded_rules import clear_rules
from offload.testing.recorded_workflows import RecordedWorkflow
from offload.timestamps import now_microseconds, to_datetime
from offload.uuid7 import new_id

MAX_ATTEMPTS = 1000
"""Maximum number of attempts of one job."""


class RecordedJob:
    """A job in memory: its row and its failed attempts.

    Args:
        new_job: the row that a database backend would insert.
        limit_key: the key of its task's limit; None without a limit.
        using: alias in DATABASES where a task with `atomic=True` opens its transaction.
        columns: other columns of its row.

    Attributes:
        workflow: the workflow to which it belongs; None without one.
    """

    def __init__(self, new_job: NewJob, limit_key: str | None, using: str, **columns: Any) -> None:
        self.row = job_of(new_job, limit_key=limit_key, **columns)
        self.attempts: list[Attempt] = []
        self.using = using
        self.workflow: RecordedWorkflow | None = None

    def hold(self, key: str | None, until: int, within: int | None) -> None:
        """Let the job hold a unique key."""
        self.row.unique_key = key
        self.row.unique_until = until
        self.row.unique_within = None if within is None else to_datetime(within)

    def replace(self, new_job: NewJob, call: UniqueCall, terms: UniqueTerms) -> None:
        """Give the job, which waits, the arguments of a call."""
        for name, value in replacement(self.row, new_job, call, terms).items():
            if name != "limit_slot":  # recorded jobs wait in no line
                setattr(self.row, name, value)
        self.row.version += 1

    def result(self) -> OffloadResult[Any]:
        """Return the job's current result."""
        result = result_from_row(self.row, self.attempts)
        text = self.row.return_value or ""
        if self.row.workflow is not None and REFERENCE in text:
            object.__setattr__(result, "_return_value", self._made_of_others(text))
        return result

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
                self._tell_workflow()
                return error
        raise AssertionError(
            f"{self.row.task_path} did not finish in {MAX_ATTEMPTS} attempts. Does it raise "
            "Snooze each time? Use run_jobs() on the DatabaseBackend, which runs one attempt."
        )

    def cancel(self) -> bool:
        """Cancel the job, or prevent its next attempt; return False if it has finished."""
        if self.row.state not in CANCELLABLE:
            return False
        if self.row.is_workflow and self.workflow is not None:
            return self.workflow.cancel()
        if self.row.state == JobState.RUNNING:
            self.row.cancel_requested_at = _now()
        else:
            self.row.state = JobState.CANCELLED
            self.row.finished_at = _now()
            self._tell_workflow()
            self._free_key()
        self.row.version += 1
        return True

    def retry(self) -> bool:
        """Make the job ready again; return False if its state does not allow it.

        Raises:
            InvalidJobState: if it was unique, and another job holds its key now.
        """
        if self.row.state not in RETRYABLE:
            return False
        if self.workflow is not None:
            return self.workflow.retry(None if self.row.is_workflow else str(self.row.pk))
        if self.row.unique_until is not None:
            self._hold_again()
        self.start_again()
        return True

    def start_again(self, *, is_blocked: bool = False) -> None:
        """Let the job wait as if it had never run, for a worker or for other jobs."""
        self.row.state = JobState.READY if self.row.limit_key is None else JobState.LIMITED
        if is_blocked:
            self.row.state = JobState.BLOCKED
        self.row.run_after = _now()
        for name, value in RETRY_VALUES.items():
            setattr(self.row, name, value)
        self.row.version += 1

    def fill_in(self, job: str, value: Any, *, max_size: int, of_arguments: bool) -> Any:
        """Return a value with the results of other parts of the workflow."""
        if self.workflow is None:
            return value
        return self.workflow.fill_in(job, value, max_size=max_size, of_arguments=of_arguments)

    def finish(
        self,
        finished: Collection[FinishedJob],  # noqa: ARG002
        new: NewParts | NewWorkflow | None = None,
    ) -> Written:
        """Accept an outcome in its transaction, with new jobs; `run` records it later."""
        if isinstance(new, NewWorkflow):
            get_backend(self.row.backend).enqueue_workflow(new)
        elif new is not None and self.workflow is not None:
            parts = _parts(new, self.workflow.whole.row.pk, self.using)
            self.workflow.add(str(self.row.pk), parts, new.dependencies)
            add_jobs(parts)
        return Written([], [])

    def keep_progress(
        self,
        progress: ProgressUpdates,
        finished: Collection[ClaimKey] = (),  # noqa: ARG002
    ) -> set[ClaimKey]:
        """Record the progress of the running attempt."""
        for _, text in progress:
            self.row.progress = text
        return {key for key, _ in progress}

    def _made_of_others(self, text: str) -> Any:
        """Return a return value with the results that other parts make for it."""
        key, value = str(self.row.pk), decode(text)
        try:
            return self.fill_in(key, value, max_size=sys.maxsize, of_arguments=False)
        except InvalidArguments:  # handed over too often
            return None

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
        self._free_key()
        previous = [
            (str(attempt.worker), attempt.exception_class_path, attempt.traceback)
            for attempt in self.attempts
        ]
        return as_claimed(row, tuple(previous))

    def _record(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Record the outcome of an attempt, as the store does."""
        row = self.row
        row.state = JobState(outcome.state)
        is_cancelled = bool(row.state in WAITING and row.cancel_requested_at)
        if is_cancelled:
            row.state = JobState.CANCELLED
        if not outcome.counts:
            row.attempt -= 1
        if outcome.delay:
            row.run_after = _now() + timedelta(seconds=outcome.delay)
        row.return_value = outcome.return_value
        row.version += 1
        if row.state.is_finished:
            row.finished_at = _now()
            self._free_key()
        if outcome.failure is not None:
            self.attempts.append(self._failed_attempt(claimed, outcome.failure))
        if is_cancelled:
            send_finished(self.result())

    def _tell_workflow(self) -> None:
        if self.workflow is not None:
            self.workflow.tell(str(self.row.pk), JobState(self.row.state))

    def _free_key(self) -> None:
        """Give the key back, as the store does when a job is claimed or has finished."""
        within, until = self.row.unique_within, self.row.unique_until
        is_held = until is not None and self.row.state < until
        if not is_held and (within is None or within <= _now()):
            self.row.unique_key = None

    def _hold_again(self) -> None:
        key, until = key_of_job(self.row)
        holder = None if key is None else find_holder(key)
        if holder is not None and holder is not self:
            raise key_is_held(self.row.pk, holder.row)
        self.row.unique_key, self.row.unique_until = key, until

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


def find_holder(key: str) -> RecordedJob | None:
    """Return the job that holds a unique key; free it if its time is over."""
    for job in list(_jobs.values()):
        if job.row.unique_key == key:
            if not has_expired(job.row, now_microseconds()):
                return job
            job.row.unique_key = None
    return None


def add_unique_jobs(
    batch: JobBatch, calls: Sequence[UniqueCall], using: str
) -> dict[str, RecordedJob]:
    """Record the jobs whose keys no other job holds; return those that do, by key."""
    terms = batch.unique_terms()
    holders = {}
    for call in calls:
        new_job = batch.row(call.id, call.arguments)
        holder = find_holder(call.unique_key)
        if holder is None:
            job = RecordedJob(new_job, call.limit_key, using)
            job.hold(call.unique_key, terms.until, terms.within)
            add_jobs([job])
            continue
        holders[call.unique_key] = holder
        if terms.replaces and holder.row.state in WAITING:
            holder.replace(new_job, call, terms)
    return holders


def add_jobs(jobs: Iterable[RecordedJob]) -> None:
    """Record jobs."""
    _jobs.update((job.row.pk, job) for job in jobs)


def add_workflow(workflow: NewWorkflow, using: str) -> None:
    """Record a workflow with all its parts.

    Args:
        workflow: the rows that a database backend would insert.
        using: alias in DATABASES where a task with `atomic=True` opens its transaction.
    """
    count = len(workflow.parts)
    new_job = workflow.job._replace(state=int(JobState.BLOCKED))
    own = RecordedJob(new_job, None, using, waiting_on=count, awaited=count)
    parts = _parts(workflow, own.row.pk, using)
    add_jobs([own, *parts])
    RecordedWorkflow(own, parts, workflow.dependencies)


def _parts(new: NewParts | NewWorkflow, workflow: UUID, using: str) -> list[RecordedJob]:
    """Return the jobs of new parts of a workflow."""
    parents: defaultdict[str, set[str]] = defaultdict(set)
    for dependency in new.dependencies:
        if dependency.slot >= 0:
            parents[dependency.child].add(dependency.parent)
    parts = []
    for job, run_when, limit_key in new.parts:
        awaited = len(parents[job.id])
        parts.append(
            RecordedJob(
                job._replace(state=int(JobState.BLOCKED)) if awaited else job,
                limit_key,
                using,
                workflow=workflow,
                run_when=run_when,
                waiting_on=awaited,
                awaited=awaited,
            )
        )
    return parts


def find_recorded_jobs(ids: Iterable[UUID]) -> list[RecordedJob]:
    """Return those of the jobs that were recorded."""
    return [_jobs[pk] for pk in ids if pk in _jobs]


def jobs_of(backend: str) -> list[RecordedJob]:
    """Return the jobs of a backend, in the order in which they were enqueued."""
    return [job for job in list(_jobs.values()) if job.row.backend == backend]


def clear_jobs(backend: str | None = None) -> None:
    """Delete the recorded jobs of one backend, or of all, and the rules of its queues and tasks."""
    clear_rules(backend)
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
