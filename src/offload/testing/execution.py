"""Runs one attempt in the caller's thread, inside the test's transaction.

A worker runs a task outside any transaction and in a context of its own. A test may have a
transaction open, but must see the same: a database error affects no other job, and `on_commit`
callbacks run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import DatabaseError, connections

from offload import exceptions
from offload.exceptions import Interruption, JobError, TaskNotFound
from offload.lifecycle import JobState, Outcome, failed
from offload.progress import OnProgress
from offload.task_lookup import find_task
from offload.worker.execution.executor import execute, execute_async
from offload.worker.execution.stored_outcomes import OutcomeWriter
from offload.worker.execution.tracebacks import describe_exception
from offload.worker.runners.progress_buffer import ProgressBuffer

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from offload.store.records import ClaimedJob

logger = logging.getLogger("offload.testing")


def run_attempt(job: ClaimedJob, store: OutcomeWriter) -> tuple[Outcome, BaseException | None]:
    """Run one attempt with the executor; return its outcome, and the exception if the job failed.

    Args:
        job: the claimed job.
        store: stores the progress, and the outcome of an atomic task.

    Raises:
        BaseException: an exception that stops the test and not only the task, such as Ctrl-C.
    """
    outcome = _unimportable_outcome(job.task_path)
    if outcome is not None:
        return outcome, _stored_error(outcome)
    raised: list[BaseException] = []
    progress_buffer = ProgressBuffer()
    with _run_on_commit_callbacks():
        # As in a worker, the context is empty: no language, time zone or tenant of the caller.
        outcome = Context().run(_execute, job, store, raised, progress_buffer.add)
    if progress_buffer and not outcome.written:
        store.keep_progress(list(progress_buffer.read(time.monotonic()).items()))
    error = raised[-1] if raised else None
    if error is not None and _stops_the_test(error):
        raise error
    if JobState(outcome.state).status != JobState.FAILED.status:
        return outcome, None
    return outcome, error or _stored_error(outcome)


def _unimportable_outcome(task_path: str) -> Outcome | None:
    """Return a failure if the task's module cannot be imported: a test waits for no other code."""
    try:
        find_task(task_path)
    except TaskNotFound:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001  # which imports may raise
        return failed(describe_exception(error))
    return None


def _execute(
    job: ClaimedJob,
    store: OutcomeWriter,
    raised: list[BaseException],
    on_progress: OnProgress,
) -> Outcome:
    if job.is_async:
        with _restore_transactions():
            gate = _record_errors(raised, nullcontext())
            return async_to_sync(execute_async)(job, gate, on_progress=on_progress, store=store)
    gate = _record_errors(raised, _restore_transactions())
    return execute(job, gate, on_progress=on_progress, using=store.using, store=store)


def _stops_the_test(error: BaseException) -> bool:
    """Return True for Ctrl-C, a timeout of the test, and `pytest.fail()`."""
    caught = (Exception, Interruption, SystemExit, GeneratorExit, asyncio.CancelledError)
    return not isinstance(error, caught)


def _stored_error(outcome: Outcome) -> BaseException:
    """Return an exception for a failure that the task itself did not raise."""
    path, message, _ = outcome.failure or ("", "", "")
    module, _, name = path.rpartition(".")
    if path == "builtins.TypeError":  # the return value is not JSON
        return TypeError(message)
    if module == exceptions.__name__ and hasattr(exceptions, name):
        error: BaseException = getattr(exceptions, name)(message)
        return error
    return JobError(f"{path}: {message}")


@contextmanager
def _record_errors(
    raised: list[BaseException], context: AbstractContextManager[None]
) -> Iterator[None]:
    """Append the exception that the task raises within `context`."""
    with context:
        try:
            yield
        except BaseException as error:
            raised.append(error)
            raise


def _connections_in_transactions() -> list[BaseDatabaseWrapper]:
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
    ]


@contextmanager
def _restore_transactions() -> Iterator[None]:
    """Roll back to a savepoint if a task broke the test's transaction.

    A worker runs the task outside any transaction, which it therefore cannot break.
    """
    savepoints = [
        (connection, connection.savepoint()) for connection in _connections_in_transactions()
    ]
    try:
        yield
    finally:
        for connection, savepoint in savepoints:
            if savepoint is None or connection.closed_in_transaction:
                continue
            if _is_broken(connection):
                connection.needs_rollback = False
                connection.savepoint_rollback(savepoint)
            connection.savepoint_commit(savepoint)


def _is_broken(connection: BaseDatabaseWrapper) -> bool:
    if connection.needs_rollback:
        return True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return True
    return False


@contextmanager
def _run_on_commit_callbacks() -> Iterator[None]:
    """Run the task's `on_commit` callbacks: a worker would have committed its transactions."""
    counts = [
        (connection, len(connection.run_on_commit)) for connection in _connections_in_transactions()
    ]
    yield
    for connection, count in counts:
        while len(connection.run_on_commit) > count:
            entry: Any = connection.run_on_commit.pop(count)
            _run_callback(entry[1], robust=entry[2])


def _run_callback(callback: Callable[[], Any], *, robust: bool) -> None:
    try:
        callback()
    except Exception:
        if not robust:
            raise
        logger.exception("A callback given to on_commit(robust=True) failed.")
