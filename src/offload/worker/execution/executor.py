"""Runs one attempt at a job and returns its outcome.

Nothing else calls the user's code: the task, its backoff, and the receivers of signals.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache, partial
from threading import Event
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, transaction
from django.db.transaction import TransactionManagementError
from django.tasks.signals import task_finished, task_started

from offload import lifecycle
from offload.exceptions import Retry
from offload.failpoints import failpoint
from offload.lifecycle import JobState, Outcome
from offload.progress import OnProgress, ignore_progress
from offload.signal_receivers import has_only_django_receivers
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.text import to_terminal_text
from offload.worker.execution.announcements import announce_ended
from offload.worker.execution.forked_copies import end_copies_with_their_code
from offload.worker.execution.job_run import (
    IsCancelled,
    JobRun,
    ResultsUnread,
    never_cancelled,
)
from offload.worker.execution.retry_decision import decide_outcome
from offload.worker.execution.sqlite_locks import acall_past_locks, call_past_locks
from offload.worker.execution.stored_outcomes import (
    ClaimLost,
    CommitLost,
    OutcomeWriter,
    succeed,
    write_in_transaction,
    write_with_parts,
)
from offload.worker.execution.tracebacks import describe_exception

if TYPE_CHECKING:
    from django.dispatch import Signal

logger = logging.getLogger("offload.worker")

type Gate = AbstractContextManager[Any]
"""Entered around the task's code, where a JobTimeout or JobCancelled may be raised."""


end_copies_with_their_code()  # wherever jobs run, also in a test's process

_RETRY = f"{Retry.__module__}.{Retry.__qualname__}"


IMPORT_RETRY_SECONDS = 30.0
"""Time after which a job runs again whose task's module could not be imported."""


RESULTS_RETRY_SECONDS = 1.0
"""Time after which a job runs again whose arguments could not be read from the database."""


def execute(
    job: ClaimedJob,
    gate: Gate,
    is_cancelled: IsCancelled = never_cancelled,
    on_progress: OnProgress = ignore_progress,
    *,
    using: str,
    store: OutcomeWriter | None = None,
) -> Outcome:
    """Run one attempt in this thread and return its outcome; raise nothing.

    Call it in a context of its own (`contextvars.copy_context().run`).

    Args:
        job: the claimed job.
        gate: entered around the task's code.
        is_cancelled: returns whether cancellation of the job was requested.
        on_progress: called with the attempt's reporter when its progress changed.
        using: alias in DATABASES where the job is stored.
        store: where the job is stored, if not in that database's store.
    """
    run = JobRun(job, is_cancelled, on_progress)
    try:
        run.start()
        if run.refers_to_results:
            run.fill_in_results(store or get_store(using))
        run.announce_start()
        failpoint("executor.started")
        if getattr(run.task, "atomic", False):
            writer = store or get_store(using)
            run_once = partial(_run_atomically, run, gate, writer)
            outcome = call_past_locks(run, run_once, atomic_in=writer.using)
        else:
            with gate:
                value = call_past_locks(run, run.call)
            failpoint("executor.returned")
            outcome = succeed(run, value)
            if run.new_parts is not None:
                outcome = write_with_parts(run, outcome, store or get_store(using))
        run.announce_finish(outcome)
    except BaseException as error:  # noqa: BLE001  # any exception of a task becomes its outcome
        outcome = _fail(run, error)
        if JobState(outcome.state).is_finished:
            run.announce_finish(outcome)
    if run.reporter is not None:
        run.reporter.close()
    if outcome.written and run.ended:
        announce_ended(run.ended, using)
    return outcome


async def execute_async(
    job: ClaimedJob,
    gate: Gate,
    is_cancelled: IsCancelled = never_cancelled,
    on_progress: OnProgress = ignore_progress,
    store: OutcomeWriter | None = None,
) -> Outcome:
    """Run one attempt on this event loop and return its outcome; raise nothing.

    Args:
        job, gate, is_cancelled, on_progress: those of `execute`.
        store: where the job is stored, if not in its database's store.
    """
    run = JobRun(job, is_cancelled, on_progress)
    try:
        run.start()
        if run.refers_to_results:
            await sync_to_async(run.fill_in_results)(store or get_store(run.options.database))
        await _announce_async(task_started, run.announce_start)
        failpoint("executor.started")
        with gate:
            value = await acall_past_locks(run, run.acall)
        failpoint("executor.returned")
        if run.additions is None:
            outcome = succeed(run, value)
        else:
            writer = store or get_store(run.options.database)
            outcome = await sync_to_async(_add_parts)(run, value, writer)
        await _announce_async(task_finished, run.announce_finish, outcome)
    except BaseException as error:  # noqa: BLE001  # any exception of a task becomes its outcome
        outcome = _fail(run, error)
        if JobState(outcome.state).is_finished:
            await _announce_async(task_finished, run.announce_finish, outcome)
    if run.reporter is not None:
        run.reporter.close()
    if outcome.written and run.ended:
        await sync_to_async(announce_ended)(run.ended, run.options.database)
    return outcome


async def _announce_async(
    signal: Signal, announce: Callable[..., None], *arguments: Outcome
) -> None:
    """Announce in a thread, as receivers may use the ORM; Django's own only write a log line."""
    if has_only_django_receivers(signal):
        announce(*arguments)
    else:
        # Not `asend_robust`: in Django 6.0 its receivers do not see the current exception.
        await sync_to_async(announce)(*arguments)


def _run_atomically(run: JobRun, gate: Gate, store: OutcomeWriter) -> Outcome:
    """Run the task and write its result in one transaction, fenced by the claim."""
    is_in_task = False
    committed = Event()
    is_nested = transaction.get_connection(store.using).in_atomic_block
    try:
        with transaction.atomic(store.using):
            if not is_nested:  # the transaction of a TestCase collects callbacks for the test
                transaction.on_commit(committed.set, using=store.using)
            is_in_task = True
            with gate:
                value = run.call()
            _require_connection(store.using)
            is_in_task = False
            outcome = succeed(run, value)
            failpoint("executor.atomic_returned")
            write_in_transaction(run, outcome, store)
            failpoint("executor.atomic_finished")
    except BaseException as error:
        if committed.is_set():
            message = "Task id=%s path=%s had succeeded before an on_commit() callback failed."
            logger.exception(message, run.id, run.job.task_path)
        elif is_in_task or not isinstance(error, OperationalError | InterfaceError):
            raise
        else:
            raise CommitLost(str(error).strip()) from error
    failpoint("executor.atomic_committed")
    return outcome._replace(written=True)


def _add_parts(run: JobRun, value: Any, store: OutcomeWriter) -> Outcome:
    """Return the outcome of a task that returned; write it if the task adds parts."""
    outcome = succeed(run, value)
    return outcome if run.new_parts is None else write_with_parts(run, outcome, store)


def _require_connection(using: str) -> None:
    """Raise if the task closed the connection, and so rolled back what it had written."""
    if transaction.get_connection(using).closed_in_transaction:
        raise TransactionManagementError(
            f"The task closed the connection to DATABASES[{using!r}], but with atomic=True its "
            "result is stored in the task's transaction. Remove the call of close() or "
            "close_all(): the worker closes old and broken connections itself."
        )


def _fail(run: JobRun, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised, while the exception is being handled."""
    if isinstance(error, ClaimLost):
        message = "Task id=%s path=%s was taken over by another worker."
        logger.warning(message, run.id, run.job.task_path)
        return lifecycle.released()._replace(written=True)
    if error is run.import_error:
        return _wait_for_code(run, error)
    if isinstance(error, ResultsUnread):
        return _wait_for_results(run, error)
    try:
        if isinstance(error, CommitLost):
            outcome = _commit_lost_outcome(run.job, error)
        else:
            outcome = decide_outcome(
                error, run.job, run.task, run.result, is_cancelled=run.is_cancelled()
            )
    except BaseException as problem:  # noqa: BLE001  # raised by the exception's own methods
        outcome = lifecycle.failed(describe_exception(problem))
    if not JobState(outcome.state).is_finished:
        _log_retry(run, outcome)
    return outcome


def _wait_for_code(run: JobRun, error: BaseException) -> Outcome:
    """Return the outcome of a job whose code cannot be loaded: half a deployment, or half a file.

    It says nothing about the job, which waits until the code has been mended.
    """
    path = run.job.task_path
    _log_import_error(path.rpartition(".")[0], f"{type(error).__name__}: {error!s:.1000}")
    outcome = lifecycle.snoozed(IMPORT_RETRY_SECONDS)
    if run.is_cancelled():
        return lifecycle.cancelled_instead(outcome)
    with suppress(Exception):  # raised by a log handler
        message = "Task id=%s path=%s waits for its code; running again in %.1f s"
        logger.info(message, run.id, path, outcome.delay)
    return outcome


def _wait_for_results(run: JobRun, error: ResultsUnread) -> Outcome:
    """Return the outcome of a job for which the results of others could not be read."""
    outcome = lifecycle.snoozed(RESULTS_RETRY_SECONDS)
    if run.is_cancelled():
        return lifecycle.cancelled_instead(outcome)
    with suppress(Exception):  # raised by a log handler
        message = "Task id=%s path=%s could not read its arguments (%s); running again in %.1f s"
        reason = to_terminal_text(error)
        logger.warning(message, run.id, run.job.task_path, reason, outcome.delay)
    return outcome


@lru_cache(maxsize=100)
def _log_import_error(module: str, reason: str) -> None:
    """Log the current exception, once in each process although each job of the module raises it."""
    with suppress(Exception):  # raised by a log handler
        message = "The module %s cannot be imported (%s). The jobs of its tasks wait."
        logger.error(
            message, to_terminal_text(module), to_terminal_text(reason), exc_info=sys.exception()
        )


def _commit_lost_outcome(job: ClaimedJob, error: CommitLost) -> Outcome:
    """Return an outcome that is refused if the transaction was committed after all."""
    from offload.store.losses import lost_outcome  # noqa: PLC0415  # needs the app registry

    outcome: Outcome = lost_outcome(job, f"its transaction could not be committed: {error}")
    return outcome


def _log_retry(run: JobRun, outcome: Outcome) -> None:
    """Log that the job will run again: Django has no signal for this.

    A failure is a warning, not an error, as the job may yet succeed. What the task asked for is
    neither.
    """
    job = run.job
    level = logging.INFO
    if outcome.failure is None:
        reason = "snoozed"
    else:
        path, message, _ = outcome.failure
        # A Retry may allow more attempts than the task does.
        of_all = f" of {job.max_attempts}" if job.attempt < job.max_attempts else ""
        reason = f"attempt {job.attempt}{of_all} failed ({path}: {message})"
        if path != _RETRY:
            level = logging.WARNING
    with suppress(Exception):  # raised by a log handler
        logger.log(
            level,
            "Task id=%s path=%s %s; running again in %.1f s",
            run.id,
            job.task_path,
            to_terminal_text(reason),
            outcome.delay,
        )
