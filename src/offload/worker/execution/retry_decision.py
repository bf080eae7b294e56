"""Decides after an exception whether the job runs again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from offload import lifecycle
from offload.durations import seconds
from offload.exceptions import InvalidResult, JobCancelled, JobExpired, JobTimeout, Retry, Snooze
from offload.policies import DEFAULT_BACKOFF
from offload.worker.execution.tracebacks import describe_exception, failed_before_call

if TYPE_CHECKING:
    from django.tasks import Task, TaskResult

    from offload.lifecycle import Outcome
    from offload.store.records import ClaimedJob

logger = logging.getLogger("offload.worker")


def decide_outcome(
    error: BaseException,
    job: ClaimedJob,
    task: Task[..., Any],
    result: TaskResult[Any, Any],
    *,
    is_cancelled: bool,
) -> Outcome:
    """Return the outcome of an attempt that raised.

    Args:
        error: the exception.
        job: the job, at this attempt.
        task: the job's task, with its retry options.
        result: the job so far, for the task's backoff.
        is_cancelled: whether cancellation of the job was requested.
    """
    if isinstance(error, Snooze) and not is_cancelled:
        return lifecycle.snoozed(error.delay)
    failure = describe_exception(_cause(error))
    if isinstance(error, JobExpired):
        return lifecycle.expired(failure)
    if _is_cancellation(error, is_cancelled=is_cancelled):
        return lifecycle.cancelled(failure)
    if job.attempt >= _max_attempts(error, job) or not _is_retryable(error, task):
        return lifecycle.failed(failure)
    if is_cancelled:
        return lifecycle.cancelled(failure)
    return lifecycle.retried(failure, _retry_delay(error, job, task, result))


def _cause(error: BaseException) -> BaseException:
    """Return the exception that the attempt failed with, which a Retry may carry."""
    cause = error.cause if isinstance(error, Retry) else None
    return error if cause is None else cause


def _max_attempts(error: BaseException, job: ClaimedJob) -> int:
    own = error.max_attempts if isinstance(error, Retry) else None
    return job.max_attempts if own is None else own


def _is_cancellation(error: BaseException, *, is_cancelled: bool) -> bool:
    if isinstance(error, JobCancelled):
        return True
    return is_cancelled and isinstance(error, asyncio.CancelledError | Snooze)


def _is_retryable(error: BaseException, task: Task[..., Any]) -> bool:
    if isinstance(error, Retry):
        return True
    if isinstance(error, (InvalidResult, *getattr(task, "no_retry_on", ()))):
        return False
    if failed_before_call(error, task.func):
        return False
    return isinstance(error, (JobTimeout, *getattr(task, "retry_on", (Exception,))))


def _retry_delay(
    error: BaseException, job: ClaimedJob, task: Task[..., Any], result: TaskResult[Any, Any]
) -> float:
    if isinstance(error, Retry) and error.after is not None:
        return error.after
    backoff = getattr(task, "backoff", None) or DEFAULT_BACKOFF
    try:
        return seconds(backoff(error, result))
    except Exception:
        logger.exception("The backoff of %s failed. Using the default backoff.", job.task_path)
        return DEFAULT_BACKOFF.delay(job.attempt)
