"""The exceptions of Celery under its names, and those for an id that no task has.

CeleryError
├── TaskPredicate
│   ├── Retry               raised by `self.retry()`
│   ├── Ignore              raised by a task: its job ends without a result
│   └── Reject              raised by a task: its job fails, or runs again with requeue=True
├── TaskError
│   ├── NotRegistered       also KeyError: no task has this name
│   ├── TimeoutError        also Python's TimeoutError: `get` has waited for long enough
│   ├── MaxRetriesExceededError
│   ├── TaskRevokedError
│   ├── InvalidTaskError
│   └── ChordError
├── ImproperlyConfigured
└── SecurityError
UnknownTaskId               TaskResultDoesNotExist and Http404: no task has had this id
└── ExpiredTaskId           also TaskResultExpired: the task is no longer kept
EncodeError                 a value that is not Celery's JSON
SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError, Terminated
"""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from django.http import Http404
from django.tasks.exceptions import TaskResultDoesNotExist

from offload.exceptions import TaskResultExpired


class CeleryWarning(UserWarning):
    """Base of the warnings."""


class AlwaysEagerIgnored(CeleryWarning):
    """`send_task` enqueues also with `CELERY_TASK_ALWAYS_EAGER`."""


class CeleryError(Exception):
    """Base of the errors."""


class TaskPredicate(CeleryError):
    """Base of what a task raises to be retried, ignored or rejected."""


class Retry(TaskPredicate):
    """The task runs again later.

    Attributes:
        message: why, if it was given.
        exc: the exception because of which it does.
        when: seconds, or a datetime.
        is_eager: whether it runs in the caller's process.
        sig: the signature that runs again.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = None if isinstance(exc, str) else exc
        self.excs = exc if exc is None or isinstance(exc, str) else repr(exc)
        self.when = when
        self.is_eager = is_eager
        self.sig = sig

    def humanize(self) -> str:
        """Return when it runs, in words."""
        return f"in {self.when}s" if isinstance(self.when, int | float) else f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"Retry {self.humanize()}: {self.excs}" if self.excs else f"Retry {self.humanize()}"


class Ignore(TaskPredicate):
    """The task has no result."""


class Reject(TaskPredicate):
    """The task is refused: it fails, or runs again.

    Args:
        reason: why.
        requeue: whether it runs again.
    """

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue


class ImproperlyConfigured(CeleryError):
    """A setting is wrong."""


class SecurityError(CeleryError):
    """An action is not allowed."""


class TaskError(CeleryError):
    """Base of the errors about a task."""


class QueueNotFound(KeyError, TaskError):
    """The queue does not exist."""


class IncompleteStream(TaskError):
    """The end of a stream came too early."""


class NotRegistered(KeyError, TaskError):
    """No task has this name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AlreadyRegistered(TaskError):
    """Another task has this name."""


class TimeoutError(TaskError, builtins.TimeoutError):
    """The task had not finished when the timeout was over."""


class MaxRetriesExceededError(TaskError):
    """The task failed after all its retries."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args)
        self.task_args = kwargs.pop("task_args", [])
        self.task_kwargs = kwargs.pop("task_kwargs", {})


class TaskRevokedError(TaskError):
    """The task was revoked, so it has no result."""


class InvalidTaskError(TaskError):
    """The task is not one that can run."""


class ChordError(TaskError):
    """A task of the header of a chord failed."""


def chord_error(task_id: Any, error: BaseException) -> ChordError:
    """Return the error of the body of a chord, a task of whose header failed."""
    joined = ChordError(f"Dependency {task_id} raised {error!r}")
    joined.__cause__ = error
    return joined


class BackendError(Exception):
    """Base of the errors about stored results."""


class BackendGetMetaError(BackendError):
    """A stored result cannot be read."""


class BackendStoreError(BackendError):
    """A result cannot be stored."""


class OperationalError(Exception):
    """Celery raises it where no broker responds; `.delay()` of this package never does."""


class EncodeError(Exception):
    """A value cannot be stored as Celery's JSON."""


class SoftTimeLimitExceeded(Exception):
    """The task ran longer than its soft time limit: raised inside it, and it may go on."""

    def __str__(self) -> str:
        return f"SoftTimeLimitExceeded{self.args}"


class TimeLimitExceeded(Exception):
    """The task ran longer than its time limit."""

    def __str__(self) -> str:
        return f"TimeLimitExceeded{self.args}"


class WorkerLostError(Exception):
    """The process that ran the task died."""


class Terminated(Exception):
    """The task was stopped because it was revoked."""


class UnknownTaskId(TaskResultDoesNotExist, Http404):
    """No task has had this id, so a view that lets it pass answers 404."""


class ExpiredTaskId(UnknownTaskId, TaskResultExpired):
    """The task with this id is so old that it is no longer kept."""
