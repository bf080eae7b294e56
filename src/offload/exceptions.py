"""Every error of django-offload.

TaskException (Django)
├── InvalidTask (Django)
│   └── InvalidArguments      also ValueError: an argument no database would store exactly
├── TaskResultDoesNotExist (Django)
│   └── TaskResultExpired     the job was pruned
└── OffloadError
    ├── InvalidJobState            the job has ended, or is not in a state to be retried
    └── QueueUnavailable      the database does not answer or was not migrated
JobError                      what a job's errors may name
├── TaskNotFound              the row's task is gone or renamed
├── JobExpired                nobody ran it before it expired
├── WorkerLost                the process that ran it died
└── InvalidResult             the return value is not JSON, or too large
UserFacingError               raised by a task that fails: its text is shown to the end user
Interruption (BaseException)  raised inside a task that must stop
├── JobTimeout               the task ran longer than its time limit
└── JobCancelled              somebody cancelled the job
Retry, Snooze                 raised by a task to be run again later
"""

from __future__ import annotations

from datetime import timedelta

from django.db import DatabaseError
from django.tasks.exceptions import InvalidTask, TaskException, TaskResultDoesNotExist

from offload.durations import seconds


class InvalidArguments(InvalidTask, ValueError):
    """An argument cannot be stored as exactly the same JSON on every database."""


class TaskResultExpired(TaskResultDoesNotExist):
    """The job is so old that it was pruned, or would have been."""


class OffloadError(TaskException):
    """Base of the errors that django-offload raises in the caller's code."""


class InvalidJobState(OffloadError):
    """The job is not in a state in which this can be done."""


class QueueUnavailable(OffloadError, DatabaseError):
    """The queue's database does not answer, or its tables are missing."""


class JobError(Exception):
    """Base of the errors that a job's `errors` may name."""


class TaskNotFound(JobError):
    """The task that the job names does not exist in this code."""


class JobExpired(JobError):
    """The job was not started before it expired."""


class WorkerLost(JobError):
    """The process that ran the job died."""


class InvalidResult(JobError):
    """The task's return value cannot be stored as JSON."""


class UserFacingError(Exception):
    """Raise it, or a subclass, in a task that fails: the person who waits is shown its text.

    Of all other exceptions people at the browser see neither class nor text.
    """


class Interruption(BaseException):
    """Raised inside a running task that must stop.

    Not an Exception, so that a task's own `except Exception` does not swallow it.
    """

    def __str__(self) -> str:
        # It is raised by its class alone; the class's sentence says what has happened.
        return super().__str__() or (self.__doc__ or "")


class JobTimeout(Interruption):
    """The task ran longer than its time limit."""


class JobCancelled(Interruption):
    """The job was cancelled."""


class Retry(Exception):
    """Raise it in a task to end this attempt and run the job again.

    It uses up an attempt: when `max_attempts` is reached the job fails.

    Args:
        after: seconds (or a timedelta) until the next attempt; the task's backoff if None.
    """

    def __init__(self, after: float | timedelta | None = None) -> None:
        super().__init__(after)
        self.after = seconds(after) if after is not None else None

    def __str__(self) -> str:
        return "retry" if self.after is None else f"retry after {self.after:g} s"


class Snooze(Exception):
    """Raise it in a task to run the job again later, without using up an attempt.

    Args:
        delay: seconds (or a timedelta) until the job may run again.
    """

    def __init__(self, delay: float | timedelta) -> None:
        super().__init__(delay)
        self.delay = seconds(delay)

    def __str__(self) -> str:
        return f"snooze for {self.delay:g} s"
