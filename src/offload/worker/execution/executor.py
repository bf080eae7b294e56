"""Runs one attempt at a job and returns its outcome.

Nothing else calls the user's code: the task, its backoff, and the receivers of signals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, transaction
from django.db.transaction import TransactionManagementError
from django.tasks.signals import task_finished, task_started

from offload import exceptions, lifecycle
from offload.exceptions import InvalidResult, JobError, Retry
from offload.failpoints import failpoint
from offload.lifecycle import JobState, Outcome
from offload.ownership import ownership_from
from offload.progress import OnProgress, ignore_progress
from offload.serialization import encode_result
from offload.signal_receivers import has_only_django_receivers
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob, ProgressUpdates
from offload.text import to_terminal_text
from offload.worker.execution.connections import reset_connections
from offload.worker.execution.job_run import IsCancelled, JobRun, never_cancelled
from offload.worker.execution.retry_decision import decide_outcome
from offload.worker.execution.sqlite_locks import acall_past_locks, call_past_locks
from offload.worker.execution.tracebacks import describe_exception

if TYPE_CHECKING:
    from django.dispatch import Signal

logger = logging.getLogger("offload.worker")

type Gate = AbstractContextManager[Any]
"""Entered around the task's code, where a JobTimeout or JobCancelled may be raised."""


_RETRY = f"{Retry.__module__}.{Retry.__qualname__}"


class OutcomeWriter(Protocol):
    """The methods of the store that an attempt calls.

    Attributes:
        using: alias in DATABASES where a task with `atomic=True` runs in a transaction.
    """

    using: str

    def finish(self, finished: Sequence[FinishedJob]) -> list[ClaimedJob]: ...

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]: ...


class ClaimLost(Exception):
    """Another worker has claimed the job: the effects of an atomic task are rolled back."""


class CommitLost(Exception):
    """The database failed around the task's code: its transaction may be rolled back."""


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
            outcome = _succeed(run, value)
        run.announce_finish(outcome)
    except BaseException as error:  # noqa: BLE001  # any exception of a task becomes its outcome
        outcome = _fail(run, error)
        if JobState(outcome.state).is_finished:
            run.announce_finish(outcome)
    if run.reporter is not None:
        run.reporter.close()
    return outcome


async def execute_async(
    job: ClaimedJob,
    gate: Gate,
    is_cancelled: IsCancelled = never_cancelled,
    on_progress: OnProgress = ignore_progress,
) -> Outcome:
    """Run one attempt on this event loop and return its outcome; raise nothing."""
    run = JobRun(job, is_cancelled, on_progress)
    try:
        run.start()
        await _announce_async(task_started, run.announce_start)
        failpoint("executor.started")
        with gate:
            value = await acall_past_locks(run, run.acall)
        failpoint("executor.returned")
        outcome = _succeed(run, value)
        await _announce_async(task_finished, run.announce_finish, outcome)
    except BaseException as error:  # noqa: BLE001  # any exception of a task becomes its outcome
        outcome = _fail(run, error)
        if JobState(outcome.state).is_finished:
            await _announce_async(task_finished, run.announce_finish, outcome)
    if run.reporter is not None:
        run.reporter.close()
    return outcome


def announce_finished(finished: Sequence[FinishedJob]) -> None:
    """Send `task_finished` for jobs that finished without an executor, such as lost ones.

    Receivers may be slow, so call it in a thread of its own, whose connections it closes.
    """
    for job, outcome in finished:
        path, message, _ = outcome.failure or ("", "", "")
        kind = getattr(exceptions, path.rpartition(".")[2], JobError)
        try:
            raise kind(message)  # noqa: TRY301  # Django's receiver logs the current exception
        except BaseException:  # noqa: BLE001
            run = JobRun(job)
            with ownership_from(run.ownership):  # which `start` sets in other cases
                run.announce_finish(outcome)
        reset_connections()
    reset_connections(close_all=True)


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
        with run.fork_boundary, transaction.atomic(store.using):
            if not is_nested:  # the transaction of a TestCase collects callbacks for the test
                transaction.on_commit(committed.set, using=store.using)
            is_in_task = True
            with gate:
                value = run.call()
            _require_connection(store.using)
            is_in_task = False
            outcome = _succeed(run, value)
            failpoint("executor.atomic_returned")
            _write_in_transaction(run, outcome, store)
            failpoint("executor.atomic_finished")
    except BaseException as error:
        if committed.is_set():
            message = "An on_commit() callback failed after task id=%s had succeeded."
            logger.exception(message, run.id)
        elif is_in_task or not isinstance(error, OperationalError | InterfaceError):
            raise
        else:
            raise CommitLost(str(error).strip()) from error
    failpoint("executor.atomic_committed")
    return outcome._replace(written=True)


def _require_connection(using: str) -> None:
    """Raise if the task closed the connection, and so rolled back what it had written."""
    if transaction.get_connection(using).closed_in_transaction:
        raise TransactionManagementError(
            f"The task closed the connection to DATABASES[{using!r}], but with atomic=True its "
            "result is stored in the task's transaction. Remove the call of close() or "
            "close_all(): the worker closes old and broken connections itself."
        )


def _write_in_transaction(run: JobRun, outcome: Outcome, store: OutcomeWriter) -> None:
    """Write the outcome and the last progress, which the worker would write too late.

    Raises:
        ClaimLost: another worker holds the job.
    """
    if store.finish([(run.job, outcome)]):
        raise ClaimLost
    if run.reporter is not None:
        key = run.job.key
        store.keep_progress([(key, run.reporter.snapshot())], finished=[key])


def _succeed(run: JobRun, value: Any) -> Outcome:
    try:
        return lifecycle.succeeded(encode_result(value, max_bytes=run.options.max_result_size))
    except (ValueError, RecursionError) as error:  # a TypeError stays one, as in Django
        raise InvalidResult(str(error)) from error


def _fail(run: JobRun, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised, while the exception is being handled."""
    if isinstance(error, ClaimLost):
        logger.warning("Task id=%s was taken over by another worker.", run.id)
        return lifecycle.released()._replace(written=True)
    try:
        if isinstance(error, CommitLost):
            outcome = _commit_lost_outcome(run.job, error)
        else:
            with run.fork_boundary:
                outcome = decide_outcome(
                    error, run.job, run.task, run.result, is_cancelled=run.is_cancelled()
                )
    except BaseException as problem:  # noqa: BLE001  # raised by the exception's own methods
        outcome = lifecycle.failed(describe_exception(problem))
    if not JobState(outcome.state).is_finished:
        _log_retry(run, outcome)
    return outcome


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
        reason = f"attempt {job.attempt} of {job.max_attempts} failed ({path}: {message})"
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
