"""Calls a task again that waited in vain for SQLite's only write lock."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from threading import Event

from django.db import connections

from offload.exceptions import JobCancelled
from offload.store.errors import is_sqlite_lock
from offload.worker.execution.job_run import JobRun

logger = logging.getLogger("offload.worker")

MAX_CALLS = 8
"""How often one attempt calls a task that meets the lock."""
FIRST_DELAY = 0.1
"""Seconds between the first two calls, at most; the time doubles each time."""
MAX_DELAY = 1.0
"""Seconds between two calls, at most."""
CHECK_INTERVAL = 0.05
"""Seconds after which a waiting thread finds that its job was interrupted."""


def call_past_locks[Value](run: JobRun, call: Callable[[], Value], *, atomic_in: str = "") -> Value:
    """Call until the task does not meet SQLite's lock, or has written something, or too often.

    Args:
        run: the attempt.
        call: calls the task.
        atomic_in: the database that undoes what it has written, if there is one.
    """
    calls = 0
    run.will_be_called_again = lambda error: (
        calls < MAX_CALLS and _may_call_again(run, error, atomic_in)
    )
    while True:
        calls += 1
        try:
            return call()
        except Exception as error:
            if not run.will_be_called_again(error):
                raise
            delay = _delay(calls)
            _log(run, delay)
        _wait(run, delay)


async def acall_past_locks[Value](run: JobRun, call: Callable[[], Awaitable[Value]]) -> Value:
    """Do what `call_past_locks` does, for a coroutine function."""
    calls = 0
    run.will_be_called_again = lambda error: calls < MAX_CALLS and _may_call_again(run, error)
    while True:
        calls += 1
        try:
            return await call()
        except Exception as error:
            if not run.will_be_called_again(error):
                raise
            delay = _delay(calls)
            _log(run, delay)
        await asyncio.sleep(delay)


def _delay(calls: int) -> float:
    longest: float = min(MAX_DELAY, FIRST_DELAY * 2 ** (calls - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _wait(run: JobRun, delay: float) -> None:
    """Wait in short pieces: an exception reaches a thread only when it runs Python code.

    Raises:
        JobCancelled: also of an atomic task, which is not interrupted between two calls.
    """
    call_at = time.monotonic() + delay
    while (seconds := call_at - time.monotonic()) > 0:
        Event().wait(min(seconds, CHECK_INTERVAL))
        if run.is_cancelled():
            raise JobCancelled


def _may_call_again(run: JobRun, error: Exception, atomic_in: str = "") -> bool:
    """Return whether a task met the lock and may run again although its process has not died."""
    return (
        (is_sqlite_lock(error) or is_sqlite_lock(error.__cause__))  # of CommitLost
        and run.job.max_worker_losses > 0  # 0 for at_most_once
        and not run.is_cancelled()
        and all(connections[alias].vendor == "sqlite" for alias in connections)
        and run.sqlite_changes.are_undone(atomic_in)
    )


def _log(run: JobRun, delay: float) -> None:
    logger.warning(
        "Task id=%s path=%s found SQLite's database locked before it had written anything; "
        "calling it again in %.1f s",
        run.id,
        run.job.task_path,
        delay,
    )
