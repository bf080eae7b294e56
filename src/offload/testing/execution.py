"""One attempt in the caller's thread, in the test's transaction, by the worker's executor.

A worker runs a task outside any transaction and in a context of its own. A test may hold a
transaction open around everything, so what a worker has by nature is made here: an error of the
database spoils nothing for others, and `on_commit` callbacks run.
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
from offload.exceptions import Interruption, JobError
from offload.lifecycle import JobState, Outcome
from offload.progress import OnProgress
from offload.worker.execution.executor import execute, execute_async
from offload.worker.runners.progress_buffer import ProgressBuffer

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from offload.store.base import Store
    from offload.store.records import ClaimedJob

logger = logging.getLogger("offload.testing")


def run_attempt(job: ClaimedJob, store: Store) -> tuple[Outcome, BaseException | None]:
    """Run one attempt; return its outcome, and if the job failed for good, why.

    Args:
        job: the job, claimed.
        store: where it is kept.

    Raises:
        BaseException: what is meant for the test and not for the task, such as Ctrl-C.
    """
    caught: list[BaseException] = []
    progress_buffer = ProgressBuffer()
    with _commit():
        # A worker's context is empty: no language, time zone or tenant of who enqueued.
        outcome = Context().run(_execute, job, store, caught, progress_buffer.add)
    if progress_buffer and not outcome.written:
        store.keep_progress(list(progress_buffer.read(time.monotonic()).items()))
    error = caught[-1] if caught else None
    if error is not None and _is_for_the_test(error):
        raise error
    if JobState(outcome.state).status != JobState.FAILED.status:
        return outcome, None
    return outcome, error or _told(outcome)


def _execute(
    job: ClaimedJob, store: Store, caught: list[BaseException], on_progress: OnProgress
) -> Outcome:
    if job.is_async:
        with _stay_usable():
            return async_to_sync(execute_async)(
                job, _catch(caught, nullcontext()), on_progress=on_progress
            )
    gate = _catch(caught, _stay_usable())
    return execute(job, gate, on_progress=on_progress, using=store.using, store=store)


def _is_for_the_test(error: BaseException) -> bool:
    """Tell whether somebody wants the test to end: Ctrl-C, a timeout, `pytest.fail()`."""
    kinds = (Exception, Interruption, SystemExit, GeneratorExit, asyncio.CancelledError)
    return not isinstance(error, kinds)


def _told(outcome: Outcome) -> BaseException:
    """Return an exception for a failure that the task itself did not raise."""
    path, message, _ = outcome.failure or ("", "", "")
    module, _, name = path.rpartition(".")
    kind = getattr(exceptions, name, None) if module == exceptions.__name__ else None
    return kind(message) if kind is not None else JobError(f"{path}: {message}")


@contextmanager
def _catch(caught: list[BaseException], around: AbstractContextManager[None]) -> Iterator[None]:
    """Keep what the task raises."""
    with around:
        try:
            yield
        except BaseException as error:
            caught.append(error)
            raise


def _in_transactions() -> list[BaseDatabaseWrapper]:
    return [each for each in connections.all(initialized_only=True) if each.in_atomic_block]


@contextmanager
def _stay_usable() -> Iterator[None]:
    """Undo what a task did in a transaction that it left broken: outside of one it could not."""
    savepoints = [(connection, connection.savepoint()) for connection in _in_transactions()]
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
def _commit() -> Iterator[None]:
    """Run the `on_commit` callbacks of a task, whose transactions have been committed."""
    marks = [(connection, len(connection.run_on_commit)) for connection in _in_transactions()]
    yield
    for connection, mark in marks:
        while len(connection.run_on_commit) > mark:
            entry: Any = connection.run_on_commit.pop(mark)
            _call(entry[1], robust=entry[2])


def _call(callback: Callable[[], Any], *, robust: bool) -> None:
    try:
        callback()
    except Exception:
        if not robust:
            raise
        logger.exception("A callback given to on_commit(robust=True) failed.")
