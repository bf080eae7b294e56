"""One attempt ends in one Outcome: resolve, announce, call, catch, decide_outcome.

Nothing else calls the user's code: the task, its backoff, and the receivers of signals.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from threading import Event
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, transaction

from offload import exceptions, lifecycle
from offload.exceptions import InvalidResult, JobError
from offload.failpoints import failpoint
from offload.lifecycle import JobState, Outcome
from offload.progress import OnProgress, ignore_progress
from offload.serialization import encode_result
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.worker.execution.connections import reset_connections
from offload.worker.execution.job_run import IsCancelled, JobRun
from offload.worker.execution.retry_decision import decide_outcome
from offload.worker.execution.tracebacks import describe_exception

if TYPE_CHECKING:
    from offload.store.base import Store

logger = logging.getLogger("offload.worker")

type Gate = AbstractContextManager[Any]
"""Entered around the user's code: within it a JobTimeout or JobCancelled may be raised."""


class ClaimLost(Exception):
    """Somebody else holds the job now, so its atomic effects are rolled back."""


class CommitLost(Exception):
    """The database was lost before or after the task's own code: it may be rolled back."""


def execute(
    job: ClaimedJob,
    gate: Gate,
    is_cancelled: IsCancelled = bool,
    on_progress: OnProgress = ignore_progress,
    *,
    using: str,
    store: Store | None = None,
) -> Outcome:
    """Run one attempt in this thread and return how it ended. Raises nothing.

    Call it in a context of its own (`contextvars.copy_context().run`).

    Args:
        job: the job, claimed.
        gate: see `Gate`.
        is_cancelled: tells whether somebody asked for the job to be cancelled.
        on_progress: called with the attempt's reporter when it moved.
        using: alias in DATABASES where the job is stored.
        store: where the job is kept, if that is not that database's store.
    """
    attempt = JobRun(job, is_cancelled, on_progress)
    try:
        attempt.begin()
        attempt.announce_start()
        failpoint("executor.started")
        if getattr(attempt.task, "atomic", False):
            outcome = _run_atomically(attempt, gate, store or get_store(using))
        else:
            with gate:
                value = attempt.call()
            failpoint("executor.returned")
            outcome = _succeed(attempt, value)
        attempt.announce_end(outcome)
    except BaseException as error:  # noqa: BLE001  # whatever a task raises is its outcome
        outcome = _fail(attempt, error)
        if JobState(outcome.state).is_finished:
            attempt.announce_end(outcome)
    if attempt.reporter is not None:
        attempt.reporter.close()
    return outcome


async def execute_async(
    job: ClaimedJob,
    gate: Gate,
    is_cancelled: IsCancelled = bool,
    on_progress: OnProgress = ignore_progress,
) -> Outcome:
    """Run one attempt on this event loop and return how it ended. Raises nothing."""
    attempt = JobRun(job, is_cancelled, on_progress)
    try:
        attempt.begin()
        await attempt.aannounce_start()
        failpoint("executor.started")
        with gate:
            value = await attempt.acall()
        failpoint("executor.returned")
        outcome = _succeed(attempt, value)
        await attempt.aannounce_end(outcome)
    except BaseException as error:  # noqa: BLE001  # whatever a task raises is its outcome
        outcome = _fail(attempt, error)
        if JobState(outcome.state).is_finished:
            await attempt.aannounce_end(outcome)
    if attempt.reporter is not None:
        attempt.reporter.close()
    return outcome


def announce_finished(job: ClaimedJob, outcome: Outcome) -> None:
    """Send `task_finished` for a job that ended without an executor, such as a lost one."""
    path, message, _ = outcome.failure or ("", "", "")
    kind = getattr(exceptions, path.rpartition(".")[2], JobError)
    try:
        raise kind(message)  # noqa: TRY301  # so that it is the current exception
    except BaseException:  # noqa: BLE001  # Django's receiver logs the current exception
        JobRun(job).announce_end(outcome)
    finally:
        reset_connections()


def _run_atomically(attempt: JobRun, gate: Gate, store: Store) -> Outcome:
    """Run the task and write its result in one transaction, fenced by the claim."""
    is_in_task = False
    committed = Event()
    is_nested = transaction.get_connection(store.using).in_atomic_block
    try:
        with transaction.atomic(store.using):
            if not is_nested:  # as in a TestCase, whose own callbacks are not ours to add to
                transaction.on_commit(committed.set, using=store.using)
            is_in_task = True
            with gate:
                value = attempt.call()
            is_in_task = False
            outcome = _succeed(attempt, value)
            failpoint("executor.atomic_returned")
            if store.finish([(attempt.job, outcome)]):
                raise ClaimLost  # noqa: TRY301  # rolls the transaction back
            if attempt.reporter is not None:  # the engine's would come too late
                key = attempt.job.key
                store.keep_progress([(key, attempt.reporter.snapshot())], finished=[key])
            failpoint("executor.atomic_finished")
    except BaseException as error:
        if committed.is_set():
            message = "An on_commit() callback failed; the task id=%s was successful all the same."
            logger.exception(message, attempt.result.id)
        elif is_in_task or not isinstance(error, OperationalError | InterfaceError):
            raise
        else:
            raise CommitLost(str(error).strip()) from error
    failpoint("executor.atomic_committed")
    return outcome._replace(written=True)


def _succeed(attempt: JobRun, value: Any) -> Outcome:
    try:
        return lifecycle.succeeded(encode_result(value, limit=attempt.options.max_result_size))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResult(str(error)) from error


def _not_committed(job: ClaimedJob, error: CommitLost) -> Outcome:
    """Return an outcome that is refused if the transaction was committed all the same."""
    from offload.store.losses import lost_outcome  # noqa: PLC0415  # needs the app registry

    outcome: Outcome = lost_outcome(job, f"its transaction could not be committed: {error}")
    return outcome


def _fail(attempt: JobRun, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised, while the exception is still current."""
    if isinstance(error, ClaimLost):
        logger.warning("Task id=%s was taken over by another engine.", attempt.id)
        return lifecycle.released()._replace(written=True)
    try:
        if isinstance(error, CommitLost):
            outcome = _not_committed(attempt.job, error)
        else:
            outcome = decide_outcome(
                error,
                attempt.job,
                attempt.task,
                attempt.result,
                cancelled=attempt.is_cancelled(),
            )
    except BaseException as problem:  # noqa: BLE001  # an exception that breaks who looks at it
        outcome = lifecycle.failed(describe_exception(problem))
    if not JobState(outcome.state).is_finished:
        _log_again(attempt, outcome)
    return outcome


def _log_again(attempt: JobRun, outcome: Outcome) -> None:
    """Tell of an end that Django has no word for; below ERROR, as the job may yet succeed."""
    job = attempt.job
    why = "snoozed"
    if outcome.failure is not None:
        path, message, _ = outcome.failure
        why = f"attempt {job.attempt} of {job.max_attempts} failed ({path}: {message})"
    logger.warning(
        "Task id=%s path=%s %s; again in %.1f s",
        attempt.id,
        job.task_path,
        why,
        outcome.delay,
    )
