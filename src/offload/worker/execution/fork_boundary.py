"""Ends the copies of this process that a task makes with `os.fork()`.

A copy has the jobs, the connections and one thread of the process that runs the task. If its code
returned to the worker's, it would run the jobs that wait behind the task, and commit or roll back
on the connections that it shares.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from types import TracebackType
from typing import Any, Self

from django.db import connections

from offload.context import running_job
from offload.worker.parent_death import die_with_parent

STANDARD_ERROR = 2
"""Its descriptor: the lock of `sys.stderr` may be held by a thread that a copy does not have."""

_START_PROGRAM = subprocess.Popen._execute_child.__code__  # type: ignore[attr-defined]  # noqa: SLF001
"""What forks in `subprocess`, if it has a `preexec_fn` such as `os.setsid`."""
_inherited: list[Any] = []
"""Connections of the process that was copied. Some drivers log off when one is freed."""


class ForkBoundary:
    """A context manager around a task's code, which only the process that entered it leaves.

    Each process has one, so that it costs a job next to nothing.

    A copy of the process exits instead, as if the code had been its whole program: with exit code
    0, that of `sys.exit`, or 1 after another exception. It runs no exit handlers and flushes no
    buffers, which are those of the process that was copied.

    Attributes:
        pid: the id of its process.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self is not _boundary:
            try:
                code = _exit_code(error)
            finally:
                os._exit(code)


_boundary = ForkBoundary()


def fork_boundary() -> ForkBoundary:
    """Return the boundary of this process."""
    return _boundary


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code of a program that ended so; write what Python would write."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        text = f"{error.code}\n"
    else:
        text = "".join(traceback.format_exception(error))
    os.write(STANDARD_ERROR, text.encode(errors="backslashreplace"))
    return 1


def _prepare_copy() -> None:
    """Prepare a process that a task has just forked: it dies with this one and shares nothing.

    A process that forks again, as a daemon does, lives on. So does a program that the task starts.
    """
    global _boundary  # noqa: PLW0603  # one for each process
    _boundary = ForkBoundary()
    run = running_job()
    boundary = getattr(run, "fork_boundary", None)
    if boundary is None or sys._getframe(1).f_code is _START_PROGRAM:  # noqa: SLF001
        return
    if os.getppid() == boundary.pid:
        die_with_parent()
    for connection in connections.all(initialized_only=True):
        _leave_to_parent(connection)


def _leave_to_parent(connection: Any) -> None:
    """Make a copy open a connection of its own, as the server cannot tell the two apart.

    Within a transaction it can only leave this: the copy cannot take part in it.
    """
    if connection.connection is None:
        return
    _inherited.append(connection.connection)
    pools = getattr(connection, "_connection_pools", {})  # PostgreSQL's, by alias
    _inherited.extend(pools.values())
    pools.clear()
    connection.run_on_commit = []
    if connection.in_atomic_block:  # as Django's `close` does there
        connection.closed_in_transaction = connection.needs_rollback = True
    else:
        connection.connection = None


os.register_at_fork(after_in_child=_prepare_copy)
