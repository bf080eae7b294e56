"""The life of a job: its states, which may follow which, and how an attempt ends."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from django.db.models import IntegerChoices
from django.tasks import TaskResultStatus


class JobState(IntegerChoices):
    """Where a job stands. *State* is ours; *status* is Django's coarser word."""

    SCHEDULED = 1, "scheduled"
    READY = 2, "ready"
    RUNNING = 3, "running"
    SUCCESSFUL = 4, "successful"
    FAILED = 5, "failed"
    CANCELLED = 6, "cancelled"
    EXPIRED = 7, "expired"

    @property
    def is_finished(self) -> bool:
        return self >= JobState.SUCCESSFUL

    @property
    def status(self) -> TaskResultStatus:
        """Django's status for this state."""
        return STATUS[self]


STATUS = {
    JobState.SCHEDULED: TaskResultStatus.READY,
    JobState.READY: TaskResultStatus.READY,
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.SUCCESSFUL: TaskResultStatus.SUCCESSFUL,
    JobState.FAILED: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
    JobState.EXPIRED: TaskResultStatus.FAILED,
}

# The statements of the store keep to it, and the crash tests hold every change against it.
TRANSITIONS = {
    JobState.SCHEDULED: {JobState.READY, JobState.CANCELLED},
    JobState.READY: {JobState.RUNNING, JobState.CANCELLED},
    JobState.RUNNING: {
        JobState.SUCCESSFUL,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
        JobState.READY,  # handed back, retried at once
        JobState.SCHEDULED,  # retried, snoozed or lost
    },
    JobState.SUCCESSFUL: set(),
    JobState.FAILED: {JobState.READY},  # retried by hand
    JobState.CANCELLED: {JobState.READY},
    JobState.EXPIRED: {JobState.READY},
}


def keeping(successful: timedelta | None, failed: timedelta | None) -> dict[JobState, timedelta]:
    """Return how long ended jobs of each state are kept; states kept for ever are left out."""
    periods = {
        JobState.SUCCESSFUL: successful,
        JobState.FAILED: failed,
        JobState.CANCELLED: failed,
        JobState.EXPIRED: failed,
    }
    return {state: period for state, period in periods.items() if period is not None}


class JobFailure(NamedTuple):
    """What is kept of an exception: text only, so that reading it can run no code."""

    class_path: str
    message: str
    traceback: str


class Outcome(NamedTuple):
    """How an attempt ended, as the store will write it.

    A plain tuple of JSON-like values, because it crosses the pipe between processes.
    """

    state: int
    return_value: str | None = None
    delay: float = 0.0
    """Seconds until the job may run again."""
    counts: bool = True
    """Whether the attempt counts towards `max_attempts`."""
    worker_lost: bool = False
    """Whether it ended because its process died."""
    failure: tuple[str, str, str] | None = None
    """A JobFailure, if the attempt did not succeed."""
    written: bool = False
    """Whether it stands in the database already, written with the task's own effects."""


def succeeded(return_value: str) -> Outcome:
    """The task returned; `return_value` is JSON text."""
    return _outcome(JobState.SUCCESSFUL, return_value=return_value)


def failed(failure: JobFailure) -> Outcome:
    """The task raised and will not be tried again."""
    return _outcome(JobState.FAILED, failure=failure)


def retried(failure: JobFailure, delay: float) -> Outcome:
    """The task raised and will be tried again after `delay` seconds."""
    return _outcome(_waiting(delay), delay=delay, failure=failure)


def snoozed(delay: float) -> Outcome:
    """The task asked to be run later; the attempt does not count."""
    return _outcome(_waiting(delay), delay=delay, counts=False)


def released() -> Outcome:
    """The job was claimed but not begun, or is handed back at a stop."""
    return _outcome(JobState.READY, counts=False)


def cancelled(failure: JobFailure) -> Outcome:
    """The task was stopped because somebody cancelled the job."""
    return _outcome(JobState.CANCELLED, failure=failure)


def expired(failure: JobFailure) -> Outcome:
    """The job was too old to be begun."""
    return _outcome(JobState.EXPIRED, counts=False, failure=failure)


def lost(failure: JobFailure, *, for_good: bool, delay: float = 0.0) -> Outcome:
    """The process that ran the job died; `for_good` if it must not be run again."""
    state = JobState.FAILED if for_good else _waiting(delay)
    return _outcome(state, delay=delay, counts=for_good, worker_lost=True, failure=failure)


def _outcome(
    state: JobState,
    *,
    return_value: str | None = None,
    delay: float = 0.0,
    counts: bool = True,
    worker_lost: bool = False,
    failure: JobFailure | None = None,
) -> Outcome:
    kept = None if failure is None else (failure[0], failure[1], failure[2])
    return Outcome(int(state), return_value, delay, counts, worker_lost, kept)


def _waiting(delay: float) -> JobState:
    return JobState.SCHEDULED if delay > 0 else JobState.READY
