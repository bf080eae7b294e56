"""Every error of django-offload.

TaskException (Django)
├── InvalidTask (Django)
│   └── InvalidArguments      also ValueError: an argument that some database cannot store
├── TaskResultDoesNotExist (Django)
│   └── TaskResultExpired     the job was pruned
└── OffloadError              base of the errors raised in the caller's code
    ├── AlreadyEnqueued       another job holds the key; `result` is that job
    ├── FailureLoop           the job would report the failure of a job that reported one
    ├── InvalidJobState       the job has finished, or cannot be retried in its state
    ├── InvalidSchedule       also ValueError: a schedule that cannot tick
    ├── QueueFull             too many jobs wait in the queue
    ├── InvalidWorkflow       nodes of a workflow that do not fit together
    └── QueueUnavailable      no connection to the database, or it was not migrated
JobError                      in the errors of a job
├── TaskNotFound              the row's task was removed or renamed
├── JobExpired                the job was not started before it expired
├── PartsFailed               parts of the workflow did not succeed
├── WorkerLost                the process that ran the job died
└── InvalidResult             the return value is not JSON, or too large
UserFacingError               raised by a task that fails: its text is shown to the end user
Interruption (BaseException)  raised inside a task that must stop
├── JobTimeout                the task ran longer than its timeout
└── JobCancelled              the job was cancelled
Retry, Snooze                 raised by a task to be run again later
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.tasks.exceptions import InvalidTask, TaskException, TaskResultDoesNotExist

from offload.durations import seconds

current_timeout: ContextVar[float | None] = ContextVar("offload_timeout", default=None)
"""The timeout of the attempt in this context: a JobTimeout, raised as a bare class, names it."""


class InvalidArguments(InvalidTask, ValueError):
    """An argument cannot be stored as exactly the same JSON on every database."""


class TaskResultExpired(TaskResultDoesNotExist):
    """The job is so old that it was pruned, or would have been by now."""


class OffloadError(TaskException):
    """Base of the errors that django-offload raises in the caller's code."""


class AlreadyEnqueued(OffloadError):
    """Another job holds the key of this call, and its task asks for an error.

    Attributes:
        result: the job that holds the key.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.result)


class FailureLoop(OffloadError):
    """The job would report the failure of a job that itself reported a failure, and so on.

    Raised where a signal receiver or a log handler enqueues a job.
    """


class InvalidJobState(OffloadError):
    """The operation is not possible in the job's state."""


class InvalidSchedule(OffloadError, ValueError):
    """A schedule cannot tick as it is defined, or not be changed like that.

    Attributes:
        option: the option that is wrong; empty if it is not a single one.
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class QueueFull(OffloadError):
    """Too many jobs wait in the queue, so it takes no more.

    Attributes:
        queue_name: the queue.
        max_queued: how many jobs may wait in it.
        retry_after: seconds until the caller should try again.
    """

    def __init__(self, queue_name: str, max_queued: int, *, retry_after: float) -> None:
        super().__init__(queue_name, max_queued)
        self.queue_name = queue_name
        self.max_queued = max_queued
        self.retry_after = retry_after

    def __str__(self) -> str:
        return (
            f"The queue {self.queue_name!r} takes no more jobs: about {self.max_queued:,} may wait "
            "(max_queued)."
        )


class InvalidWorkflow(OffloadError):
    """The nodes of a workflow do not fit together, or it is used outside its block."""


class QueueUnavailable(OffloadError, DatabaseError):
    """There is no connection to the queue's database, or its tables are missing."""


class JobError(Exception):
    """Base of the errors in a job's `errors` that the task did not raise."""


class TaskNotFound(JobError):
    """The job's task does not exist in this code."""


class JobExpired(JobError):
    """The job was not started before it expired."""


class PartsFailed(JobError):
    """Parts of the workflow did not succeed."""


class WorkerLost(JobError):
    """The process that ran the job died."""


class InvalidResult(JobError):
    """The task's return value cannot be stored as JSON."""


class UserFacingError(Exception):
    """An error whose text is shown to the user: raise it, or a subclass, in a task.

    The browser shows neither the class nor the text of any other exception.
    """


class Interruption(BaseException):
    """Base of the exceptions raised inside a running task that must stop.

    Not an Exception, so that a task's own `except Exception` does not swallow it.
    """

    def __str__(self) -> str:
        # It is raised without arguments; the docstring is its message.
        return super().__str__() or (self.__doc__ or "")


class JobTimeout(Interruption):
    """The task ran longer than its timeout."""

    def __str__(self) -> str:
        timeout = current_timeout.get()
        if self.args or timeout is None:
            return super().__str__()
        return f"The task ran longer than its timeout of {timeout:.12g} s."


class JobCancelled(Interruption):
    """The job was cancelled."""


class Retry(Exception):
    """Raised by a task to stop this attempt and run the job again.

    It counts as an attempt: when `max_attempts` is reached the job fails.

    Args:
        after: seconds (or a timedelta) until the next attempt; the task's backoff if None.
    """

    cause: BaseException | None = None
    """The exception with which the attempt failed; the Retry itself if None."""
    max_attempts: int | None = None
    """Attempts before the job fails; the job's own `max_attempts` if None."""

    def __init__(self, after: float | timedelta | None = None) -> None:
        super().__init__(after)
        self.after = seconds(after) if after is not None else None

    def __str__(self) -> str:
        return "retry" if self.after is None else f"retry after {self.after:g} s"


class Snooze(Exception):
    """Raised by a task to run the job again later, without counting an attempt.

    Args:
        delay: seconds (or a timedelta) until the job may run again.
    """

    def __init__(self, delay: float | timedelta) -> None:
        super().__init__(delay)
        self.delay = seconds(delay)

    def __str__(self) -> str:
        return f"snooze for {self.delay:g} s"
