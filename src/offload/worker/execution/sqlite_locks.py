"""Calls a task again that waited in vain for SQLite's only write lock."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from threading import Event

from django.db import connections

from offload.store.errors import is_sqlite_lock
from offload.worker.execution.job_run import JobRun

logger = logging.getLogger("offload.worker")

MAX_CALLS = 8
"""How often one attempt calls a task that meets the lock."""
MAX_DELAY = 1.0
"""Seconds between two calls, at most."""


def call_past_locks[Value](run: JobRun, call: Callable[[], Value], *, atomic_in: str = "") -> Value:
    """Call until the task does not meet SQLite's lock, or has written something, or too often.

    Args:
        run: the attempt.
        call: calls the task.
        atomic_in: the database that undoes what it has written, if there is one.
    """
    calls = 0
    while True:
        calls += 1
        try:
            return call()
        except Exception as error:
            if calls == MAX_CALLS or not _may_call_again(run, error, atomic_in):
                raise
            delay = _delay(calls)
            _log(run, delay)
        Event().wait(delay)


async def acall_past_locks[Value](run: JobRun, call: Callable[[], Awaitable[Value]]) -> Value:
    """Do what `call_past_locks` does, for a coroutine function."""
    calls = 0
    while True:
        calls += 1
        try:
            return await call()
        except Exception as error:
            if calls == MAX_CALLS or not _may_call_again(run, error):
                raise
            delay = _delay(calls)
            _log(run, delay)
        await asyncio.sleep(delay)


def _delay(calls: int) -> float:
    longest: float = min(MAX_DELAY, 0.05 * 2**calls)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


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
