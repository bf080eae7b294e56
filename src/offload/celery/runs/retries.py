"""Decides whether and when a failed task runs again."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from offload.celery.calls.times import seconds_until, zone_of
from offload.celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry
from offload.exceptions import Retry as EngineRetry
from offload.exceptions import Snooze

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask

logger = logging.getLogger("offload.celery")

_OPTIONS_OF_JOBS = {
    "expires",
    "headers",
    "ignore_result",
    "link",
    "link_error",
    "priority",
    "queue",
    "routing_key",
    "soft_time_limit",
    "time_limit",
}
UNLIMITED = 2**31 - 1
"""Attempts of a task with `max_retries=None`."""


class RetryLater(EngineRetry):
    """Lets the worker run the job again, as Celery's rules demand.

    Args:
        after: seconds until then.
        cause: what the attempt failed with.
        max_attempts: attempts before the job fails.
    """

    def __init__(self, after: float, cause: BaseException, max_attempts: int) -> None:
        super().__init__(after)
        self.cause = cause
        self.max_attempts = max_attempts


def automatic_retry(task: Any, error: BaseException) -> BaseException:
    """Return a Retry if `autoretry_for` has the exception; else what the task fails with."""
    if isinstance(error, (Ignore, Reject, Retry, EngineRetry, Snooze)):
        return error
    if not isinstance(error, tuple(task.autoretry_for or ())):
        return error
    if isinstance(error, tuple(task.dont_autoretry_for or ())):
        return error
    options = dict(task.retry_kwargs or {})
    if task.retry_backoff:
        options["countdown"] = backoff(task, task.request.retries)
    try:
        retry: BaseException = task.retry(exc=error, throw=False, **options)
    except BaseException as final:  # noqa: BLE001  # it has had all its retries
        return final
    return retry


def backoff(task: BaseTask, retries: int) -> int:
    """Return the seconds until the next attempt: they double with each, and are drawn from 0 up."""
    factor = int(max(1.0, float(task.retry_backoff)))
    seconds: int = min(int(task.retry_backoff_max), factor * 2 ** min(retries, 60))
    return random.randrange(seconds + 1) if task.retry_jitter else seconds  # noqa: S311  # no secret


def make_retry(
    task: BaseTask,
    exc: BaseException | None,
    when: float | datetime,
    max_retries: int | None,
) -> Retry:
    """Return the exception that makes the running task run again.

    Args:
        task: the task.
        exc: because of which.
        when: seconds, or a datetime.
        max_retries: None for any number.

    Raises:
        BaseException: `exc`, if it has had all its retries.
        MaxRetriesExceededError: the same without `exc`.
    """
    request = task.request
    if max_retries is not None and request.retries + 1 > max_retries:
        if exc is not None:
            raise exc
        raise MaxRetriesExceededError(
            f"Can't retry {task.name}[{request.id}] args:{request.args} kwargs:{request.kwargs}",
            task_args=request.args,
            task_kwargs=request.kwargs,
        )
    retry = Retry(exc=exc, when=when, is_eager=request.is_eager)
    retry.max_retries = max_retries  # type: ignore[attr-defined]
    return retry


def warn_of_unused(task: BaseTask, options: Mapping[str, Any]) -> None:
    """Log the options of `retry` that would change the job, which stays as it is."""
    unused = sorted(name for name in options if name in _OPTIONS_OF_JOBS)
    if unused:
        logger.warning(
            "retry() of the task %s has no use for: %s. Its job keeps what it was enqueued with.",
            task.name,
            ", ".join(unused),
        )


def as_engine_retry(task: BaseTask, retry: Retry) -> RetryLater:
    """Return the exception by which the worker does what Celery's Retry says."""
    limit: Any = getattr(retry, "max_retries", None)
    attempts = UNLIMITED if limit is None else int(limit) + 1
    seconds = seconds_until(retry.when, zone_of(task.app.conf))
    return RetryLater(seconds, retry.exc or retry, attempts)
