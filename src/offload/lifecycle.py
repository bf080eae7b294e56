"""The life of a job: its states, the transitions between them, and how an attempt finishes."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from django.db.models import IntegerChoices
from django.tasks import TaskResultStatus


class JobState(IntegerChoices):
    """The state of a job. *State* is this package's word, *status* Django's coarser one."""

    LIMITED = -1, "limited"
    BLOCKED = 0, "blocked"
    SCHEDULED = 1, "scheduled"
    READY = 2, "ready"
    RUNNING = 3, "running"
    SUCCESSFUL = 4, "successful"
    FAILED = 5, "failed"
    CANCELLED = 6, "cancelled"
    EXPIRED = 7, "expired"
    SKIPPED = 8, "skipped"

    def __str__(self) -> str:
        """Return the state in lower case, as all pages and commands show it, not its number."""
        return str(self.label)

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)

    @property
    def is_finished(self) -> bool:
        return self >= JobState.SUCCESSFUL

    @property
    def status(self) -> TaskResultStatus:
        """Django's status for this state."""
        return STATUS[self]


STATUS = {
    JobState.LIMITED: TaskResultStatus.READY,
    JobState.BLOCKED: TaskResultStatus.READY,
    JobState.SCHEDULED: TaskResultStatus.READY,
    JobState.READY: TaskResultStatus.READY,
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.SUCCESSFUL: TaskResultStatus.SUCCESSFUL,
    JobState.FAILED: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
    JobState.EXPIRED: TaskResultStatus.FAILED,
    JobState.SKIPPED: TaskResultStatus.SUCCESSFUL,
}

TRANSITIONS = {
    # From one waiting state to another: a call replaces the time of a unique job, or a pause of the
    # task begins or ends.
    JobState.LIMITED: {
        JobState.RUNNING,
        JobState.CANCELLED,
        JobState.SCHEDULED,
        JobState.READY,
    },
    JobState.BLOCKED: {
        JobState.READY,  # those that it waited for have finished
        JobState.LIMITED,
        JobState.SCHEDULED,
        JobState.CANCELLED,  # on request, or one that it waited for did not succeed
        JobState.SKIPPED,
        JobState.SUCCESSFUL,  # a workflow, whose parts have finished
        JobState.FAILED,
    },
    JobState.SCHEDULED: {JobState.READY, JobState.LIMITED, JobState.CANCELLED},
    JobState.READY: {JobState.RUNNING, JobState.CANCELLED, JobState.SCHEDULED, JobState.LIMITED},
    JobState.RUNNING: {
        JobState.SUCCESSFUL,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
        JobState.SKIPPED,  # a part whose task says that nothing may follow it
        JobState.READY,  # released, or retried at once
        JobState.LIMITED,  # the same, for a job of a task with a limit
        JobState.SCHEDULED,  # retried later, snoozed or lost
    },
    JobState.SUCCESSFUL: set(),
    JobState.FAILED: {JobState.READY, JobState.LIMITED, JobState.BLOCKED},  # retried by hand
    JobState.CANCELLED: {JobState.READY, JobState.LIMITED, JobState.BLOCKED},
    JobState.EXPIRED: {JobState.READY, JobState.LIMITED, JobState.BLOCKED},
    JobState.SKIPPED: {JobState.BLOCKED},  # its workflow was retried
}
"""The states that may follow each state. The crash tests check every change of a job."""

CANCELLABLE = tuple(state for state in JobState if JobState.CANCELLED in TRANSITIONS[state])
"""States in which a job can be cancelled: at once, or by stopping it if it is running."""
WAITING = tuple(state for state in CANCELLABLE if state != JobState.RUNNING)
"""States of a job that no worker holds and that will run."""
RETRYABLE = tuple(
    state for state in JobState if state.is_finished and JobState.READY in TRANSITIONS[state]
)
"""States in which a job can be retried by hand."""


class RunWhen(IntegerChoices):
    """What must become of the jobs that a part of a workflow waits for, so that it runs."""

    SUCCEEDED = 1, "succeeded"
    ENDED = 2, "ended"
    FAILED = 3, "failed"
    ONE_FAILED = 4, "failed"
    """FAILED, and one of them has failed."""


def retention_periods(
    successful: timedelta | None, failed: timedelta | None
) -> dict[JobState, timedelta]:
    """Return how long finished jobs of each state are kept; None keeps them indefinitely."""
    periods = {
        JobState.SUCCESSFUL: successful,
        JobState.FAILED: failed,
        JobState.CANCELLED: failed,
        JobState.EXPIRED: failed,
    }
    return {state: period for state, period in periods.items() if period is not None}


class JobFailure(NamedTuple):
    """An exception as it is stored: as text, so that reading it runs no code."""

    class_path: str
    message: str
    traceback: str


CANCELLED_BY_REQUEST = JobFailure(
    "offload.exceptions.JobCancelled", "The job was cancelled.", "The job was cancelled."
)
"""The failure of a job that was cancelled while it did not run."""


class Outcome(NamedTuple):
    """The outcome of an attempt, as the store will write it.

    It has only plain values, as it is sent between processes.
    """

    state: int
    return_value: str | None = None
    delay: float = 0.0
    """Seconds until the job may run again."""
    counts: bool = True
    """Whether the attempt counts towards `max_attempts`."""
    worker_lost: bool = False
    """Whether the attempt failed because its process died."""
    failure: tuple[str, str, str] | None = None
    """The values of a JobFailure, if the attempt failed."""
    written: bool = False
    """Whether the task's own transaction has written it already."""


def succeeded(return_value: str) -> Outcome:
    """Return the outcome of a task that returned; `return_value` is JSON text."""
    return _outcome(JobState.SUCCESSFUL, return_value=return_value)


def skipped() -> Outcome:
    """Return the outcome of a part that has no result, so that what waits for one is skipped."""
    return _outcome(JobState.SKIPPED)


def failed(failure: JobFailure) -> Outcome:
    """Return the outcome of a task that raised and will not be tried again."""
    return _outcome(JobState.FAILED, failure=failure)


def retried(failure: JobFailure, delay: float) -> Outcome:
    """Return the outcome of a task that raised and will be tried again after `delay` seconds."""
    return _outcome(_waiting_state(delay), delay=delay, failure=failure)


def snoozed(delay: float) -> Outcome:
    """Return the outcome of a task that raised Snooze; the attempt does not count."""
    return _outcome(_waiting_state(delay), delay=delay, counts=False)


def released() -> Outcome:
    """Return the outcome of a job that is handed back: not started, or stopped by its worker."""
    return _outcome(JobState.READY, counts=False)


def cancelled(failure: JobFailure) -> Outcome:
    """Return the outcome of a task that was stopped because its job was cancelled."""
    return _outcome(JobState.CANCELLED, failure=failure)


def cancelled_instead(outcome: Outcome) -> Outcome:
    """Return the outcome of a job that would run again, but whose cancellation was requested."""
    return cancelled(JobFailure(*outcome.failure) if outcome.failure else CANCELLED_BY_REQUEST)


def expired(failure: JobFailure) -> Outcome:
    """Return the outcome of a job that was not started before its expiry."""
    return _outcome(JobState.EXPIRED, counts=False, failure=failure)


def lost(failure: JobFailure, *, for_good: bool, delay: float = 0.0) -> Outcome:
    """Return the outcome of a job whose process died.

    Args:
        failure: the loss, as an exception.
        for_good: whether the job has failed and does not run again.
        delay: seconds until it runs again.
    """
    if for_good:
        delay = 0.0
    state = JobState.FAILED if for_good else _waiting_state(delay)
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
    plain_failure = None  # not a JobFailure: marshal refuses named tuples
    if failure is not None:
        plain_failure = (failure.class_path, failure.message, failure.traceback)
    return Outcome(int(state), return_value, delay, counts, worker_lost, plain_failure)


def _waiting_state(delay: float) -> JobState:
    return JobState.SCHEDULED if delay > 0 else JobState.READY
