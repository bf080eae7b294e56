"""What follows from an exception: another attempt, or the end."""

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
    cancelled: bool,
) -> Outcome:
    """Return the outcome of an attempt that raised.

    Args:
        error: what it raised.
        job: the job; its attempt is the one that raised.
        task: the job's task, whose author chose what is tried again and when.
        result: the job so far, for the author's backoff.
        cancelled: whether somebody asked for the job to be cancelled.
    """
    if isinstance(error, Snooze) and not cancelled:
        return lifecycle.snoozed(error.delay)
    failure = describe_exception(error)
    if isinstance(error, JobExpired):
        return lifecycle.expired(failure)
    if isinstance(error, JobCancelled) or (
        cancelled and isinstance(error, asyncio.CancelledError | Snooze)
    ):
        return lifecycle.cancelled(failure)
    if job.attempt < job.max_attempts and _is_tried_again(error, task):
        if cancelled:
            return lifecycle.cancelled(failure)
        return lifecycle.retried(failure, _delay(error, job, task, result))
    return lifecycle.failed(failure)


def _is_tried_again(error: BaseException, task: Task[..., Any]) -> bool:
    if isinstance(error, Retry):
        return True
    if isinstance(error, (InvalidResult, *getattr(task, "no_retry_on", ()))):
        return False
    if failed_before_call(error, task.func):
        return False
    return isinstance(error, (JobTimeout, *getattr(task, "retry_on", (Exception,))))


def _delay(
    error: BaseException, job: ClaimedJob, task: Task[..., Any], result: TaskResult[Any, Any]
) -> float:
    if isinstance(error, Retry) and error.after is not None:
        return error.after
    backoff = getattr(task, "backoff", None) or DEFAULT_BACKOFF
    try:
        return seconds(backoff(error, result))
    except Exception:
        logger.exception("The backoff of %s failed; the default is used.", job.task_path)
        return DEFAULT_BACKOFF.delay(job.attempt)
