"""Ends the copies of this process that the project's code makes with `os.fork()`.

A copy has the jobs, the connections and one thread of the process that it copies. If its code
returned to the worker's, it would run the jobs that wait behind the task, and commit or roll back
on the connections that it shares. So a copy watches the outermost frame of the project's code on
its stack, and exits as soon as this frame gives control back. Jobs that do not fork pay nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from itertools import dropwhile
from types import CodeType, FrameType
from typing import Any
from weakref import WeakValueDictionary

from django.db import connections
from django.db.backends.signals import connection_created

from offload.context import running_job
from offload.worker.parent_death import die_with_parent

WORKER = "offload.worker"
MACHINERY = (
    WORKER,
    "asgiref",
    "asyncio",
    "concurrent.futures",
    "django.db",  # on_commit callbacks
    "django.dispatch",
    "threading",
)
"""Packages that call the project's code, one piece after another."""
OWNERS_OF_THREADS = (f"{WORKER}.child", f"{WORKER}.runners")
"""Packages whose threads live as long as their process."""
STANDARD_ERROR = 2
"""Its descriptor: the lock of `sys.stderr` may be held by a thread that a copy does not have."""
TOOL = 4
"""The number under which a copy uses `sys.monitoring`; debuggers and profilers have others."""

_START_PROGRAM = subprocess.Popen._execute_child.__code__  # type: ignore[attr-defined]  # noqa: SLF001
"""What forks in `subprocess`, if it has a `preexec_fn` such as `os.setsid`."""
_opened: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The connections of all threads of this process, by `id`."""
_inherited: list[Any] = []
"""Connections of the process that was copied. Some drivers log off when one is freed."""
_is_copy = False


class _Forking(threading.local):
    connections: Sequence[Any] = ()
    """Those of all threads while this thread forks: a copy would free those of the others."""


_forking = _Forking()


@cache
def end_copies_with_their_code() -> None:
    """Make copies of this process, from now on, exit where the project's code ends.

    A copy exits as if this code had been its whole program: with exit code 0, that of `sys.exit`,
    or 1 after another exception or an `await`. It runs no exit handlers and flushes no buffers,
    which are those of the process that was copied.
    """
    connection_created.connect(_remember)
    os.register_at_fork(
        before=_keep_connections,
        after_in_parent=_release_connections,
        after_in_child=_prepare_copy,
    )


def _remember(connection: Any, **_: Any) -> None:
    _opened[id(connection)] = connection


def _keep_connections() -> None:
    _forking.connections = [reference() for reference in _opened.valuerefs()]


def _release_connections() -> None:
    _forking.connections = ()


def _prepare_copy() -> None:
    """Prepare a process that has just been forked: it shares nothing and ends with its code.

    It also dies with the process of its job, unless it forks again, as a daemon does. The kernel
    can only bind it to a thread, so one that a thread of the task has made lives on: that thread
    may end first. A program that the task starts lives on, too, and the processes of a web server.
    """
    global _is_copy  # noqa: PLW0603  # one for each process
    stack = _stack()
    if not stack or stack[-1].f_code is _START_PROGRAM or _belongs_to(stack[-1], WORKER):
        return  # the last is the fork server's own fork
    is_worker = [_belongs_to(frame, WORKER) for frame in stack]
    is_job = True in is_worker or running_job() is not None
    if not is_job and not _belongs_to(stack[0], "threading"):
        return
    if not _is_copy and any(_belongs_to(frame, *OWNERS_OF_THREADS) for frame in stack):
        die_with_parent()
    _is_copy = True
    for connection in connections.all(initialized_only=True):
        _leave_to_parent(connection)
    start = is_worker.index(True) if True in is_worker else 0
    own = next(dropwhile(_is_machinery, stack[start:]), None)
    if own is None:  # called by the machinery itself
        os._exit(0)
    _exit_after(own)


def _stack() -> list[FrameType]:
    """Return the frames of the code that forked, the outermost first."""
    frames = []
    frame = sys._getframe(1).f_back  # noqa: SLF001
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _belongs_to(frame: FrameType, *packages: str) -> bool:
    name = str(frame.f_globals.get("__name__"))  # which code that `exec` runs may set to anything
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _is_machinery(frame: FrameType) -> bool:
    return _belongs_to(frame, *MACHINERY)


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


def _exit_after(frame: FrameType) -> None:
    """Exit when a frame of the stack returns, awaits, or is left by an exception."""
    monitoring, events = sys.monitoring, sys.monitoring.events

    def on_return(_code: CodeType, _offset: int, _value: object) -> None:
        if sys._getframe(1) is frame:  # noqa: SLF001
            os._exit(0)

    def on_yield(_code: CodeType, _offset: int, _value: object) -> None:
        if sys._getframe(1) is frame:  # noqa: SLF001
            _write_error(
                "A copy of a worker's process that os.fork() has made exits at its first await: "
                "the event loop stays in the process that was copied.\n"
            )
            os._exit(1)

    def on_unwind(_code: CodeType, _offset: int, error: BaseException) -> None:
        if sys._getframe(1) is frame:  # noqa: SLF001
            try:
                code = 1
                code = _exit_code(error)
            finally:
                os._exit(code)

    monitoring.free_tool_id(TOOL)  # of the process that was copied, if it was a copy itself
    monitoring.use_tool_id(TOOL, "offload")
    monitoring.register_callback(TOOL, events.PY_RETURN, on_return)
    monitoring.register_callback(TOOL, events.PY_YIELD, on_yield)
    monitoring.register_callback(TOOL, events.PY_UNWIND, on_unwind)
    monitoring.set_local_events(TOOL, frame.f_code, events.PY_RETURN | events.PY_YIELD)
    monitoring.set_events(TOOL, events.PY_UNWIND)  # which has no local kind


def _exit_code(error: BaseException) -> int:
    """Return the exit code of a program that ended so; write what Python would write."""
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        _write_error(f"{error.code}\n")
    else:
        _write_error("".join(traceback.format_exception(error)))
    return 1


def _write_error(text: str) -> None:
    os.write(STANDARD_ERROR, text.encode(errors="backslashreplace"))
