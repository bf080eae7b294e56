"""The main function of the fork server: it loads the project, and forks the child processes.

The server is one process for all workers of a process. It serves until its connection is closed.
"""

from __future__ import annotations

import contextvars
import errno
import faulthandler
import gc
import json
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

from offload.worker.child.exit_handlers import leave_cleanup_to_the_parent, run_exit_handlers
from offload.worker.child.stop_signals import leave_stop_signals_to_the_worker
from offload.worker.parent_death import die_with_parent

NUMBER = struct.Struct("=q")
"""A process id or an exit code."""
FAILURE, LIMITS, SCHEDULES = "failure", "limits", "schedules"
"""Keys of the report: why the project could not be loaded, or the limits of its tasks and its
schedules."""
EXIT_TIMEOUT = 5.0
"""Seconds that the server's exit handlers may take."""


def main(connection: int, project: int) -> None:
    """Load the project and serve.

    Args:
        connection: a socket to the worker, to which the report is sent, and then the requests come.
        project: a file with what to load.
    """
    leave_stop_signals_to_the_worker()
    die_with_parent()
    if hasattr(faulthandler, "register"):  # Ctrl-\ in a terminal shows the stacks of children, too
        faulthandler.register(signal.SIGQUIT, all_threads=True)
    worker = socket.socket(fileno=connection)
    report = _load(project)
    leave_stop_signals_to_the_worker()  # again: the project may have set handlers of its own
    try:
        with suppress(OSError):  # the worker has exited
            text = json.dumps(report).encode()
            worker.sendall(NUMBER.pack(len(text)) + text)
            if LIMITS in report:
                ForkServerMain(worker).serve()
        run_exit_handlers(EXIT_TIMEOUT)
    finally:
        _flush()
        os._exit(0)


def _load(file: int) -> dict[str, Any]:
    """Load the project that the worker has written to a file; return the report."""
    try:
        with os.fdopen(file, "rb") as stream:
            project = pickle.load(stream)  # noqa: S301  # from the worker
        from offload.worker.child.project import (  # noqa: PLC0415
            Project,
            close_connections,
            load_project,
        )

        if problem := load_project(Project(*project)):
            return {FAILURE: problem}
        import_module("offload.worker.child.main")
        limits = import_module("offload.worker.limits_in_code").limits_in_code()
        schedules = import_module("offload.worker.schedules_in_code").schedules_in_code()
        close_connections()  # the number of a schedule's limit may come from a query
        report = {
            LIMITS: (limits.loaded_at, limits.numbers),
            SCHEDULES: schedules._asdict(),
        }
    except BaseException as error:  # noqa: BLE001  # also of SystemExit
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return {FAILURE: text.encode(errors="replace").decode()}  # it is printed
    finally:
        _flush()  # or each child would print it again
    # Everything loaded so far is never freed. A garbage collection in a child would write to all
    # of these memory pages, which the children otherwise share.
    gc.collect()
    gc.freeze()
    return report


class ForkServerMain:
    """Forks a child for each request.

    A request has two descriptors: the child's connection to the worker, and a pipe. The server
    writes the process id to the pipe, or a negative error number, and later the exit code.

    Args:
        worker: the connection to the worker.
    """

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._statuses: dict[int, int] = {}
        """The pipe of each child, by process id."""
        self._wakeup, self._exits = os.pipe()
        for descriptor in (self._wakeup, self._exits):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._exits, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Fork children until the worker closes the connection."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._worker, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in ready:
                    self._reap()
                if self._worker in ready and not self._handle_request():
                    return

    def _handle_request(self) -> bool:
        """Fork a child; return False if there was no request, as the worker has exited."""
        request, descriptors, _, _ = socket.recv_fds(self._worker, 1, 2)
        if not request:
            return False
        end, status = descriptors
        try:
            answer = os.fork()
        except OSError as error:
            answer = -(error.errno or errno.EAGAIN)
        if answer == 0:
            self._run_child(end, status)
        os.close(end)
        with suppress(OSError):  # the worker waits no more
            os.write(status, NUMBER.pack(answer))
        if answer > 0:
            self._statuses[answer] = status
        else:
            os.close(status)
        return True

    def _reap(self) -> None:
        """Report the exit codes of the children that have exited."""
        with suppress(BlockingIOError):
            while os.read(self._wakeup, 4096):
                pass
        for pid in list(self._statuses):
            exited, status = os.waitpid(pid, os.WNOHANG)
            if exited:
                descriptor = self._statuses.pop(pid)
                with suppress(OSError):  # the worker has exited
                    os.write(descriptor, NUMBER.pack(os.waitstatus_to_exitcode(status)))
                os.close(descriptor)

    def _run_child(self, end: int, status: int) -> None:
        """Be the child: run its main function in an empty context, and exit."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (*self._statuses.values(), status, self._wakeup, self._exits):
                os.close(descriptor)
            self._worker.close()
            leave_cleanup_to_the_parent()
            child = import_module("offload.worker.child.main")
            contextvars.Context().run(child.main, socket.socket(fileno=end))
            code = 0
        except BaseException:  # noqa: BLE001  # also SystemExit: a child never returns to `serve`
            traceback.print_exc()
        finally:
            _flush()
            os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
            stream.flush()
