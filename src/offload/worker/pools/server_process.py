"""The process of a fork server, as the worker sees it."""

from __future__ import annotations

import atexit
import json
import logging
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from offload.worker.child.fork_server import EXIT_TIMEOUT, FAILURE, LIMITS, NUMBER, SCHEDULES
from offload.worker.child.project import (
    TASKS_IN_ERROR,
    TASKS_NOT_IMPORTED,
    Project,
    ProjectError,
)
from offload.worker.limits_in_code import LimitsInCode
from offload.worker.pools.time_limits import CLOSED_TIMEOUT, LOAD_TIMEOUT, SLOW_LOAD
from offload.worker.schedules_in_code import SchedulesInCode

logger = logging.getLogger("offload.worker")

POLL_INTERVAL = 0.1
"""Seconds between two looks of a worker that starts and waits for the load."""
CODE = "import sys; sys.path[:] = {path!r}; sys.argv[:] = {arguments!r}; {main}"
MAIN = "from offload.worker.child.fork_server import main; main({descriptor}, {project})"


class ServerProcess:
    """A fork server from its start to its exit. It loads the project first.

    Args:
        project: what it loads.

    Attributes:
        loaded_at: when it had loaded the project (monotonic clock); None until then.
        failure: why it is of no use any more; None while it is.
        limits_in_code: the limits of the tasks that it has loaded.
        schedules_in_code: the schedules that it has loaded; None before.
    """

    def __init__(self, project: Project) -> None:
        self.loaded_at: float | None = None
        self.failure: str | None = None
        self.limits_in_code = LimitsInCode()
        self.schedules_in_code: SchedulesInCode | None = None
        self._lock = threading.Lock()
        """Held during the looks: several workers of this process may wait for the server."""
        self._report = b""
        self._started_at = time.monotonic()
        self._is_slow = False
        self._connection, server_end = socket.socketpair()
        self._connection.setblocking(False)  # noqa: FBT003
        # A file, as the server may read it late: a socket would hold up who writes to it.
        with server_end, tempfile.TemporaryFile() as file:
            pickle.dump(tuple(project), file)
            file.seek(0)
            self._process = _start(project, server_end.fileno(), file.fileno())
        atexit.register(self.stop)

    @property
    def exit_description(self) -> str | None:
        """How it exited, or why it was killed; None while it runs."""
        if self.failure is None and self._process.poll() is not None:
            return f"exit code {self._process.returncode}"
        return self.failure

    def request(self, *descriptors: int) -> None:
        """Ask for a new process, also before the project is loaded.

        Raises:
            OSError: if the server has exited or reads no requests.
        """
        self.resume()
        socket.send_fds(self._connection, [b"f"], descriptors)

    def resume(self) -> None:
        """Wake the server if a signal (SIGSTOP) has stopped it."""
        self._process.send_signal(signal.SIGCONT)

    def look(self, now: float) -> None:
        """Read whether the server has loaded the project; kill it if that takes too long.

        Raises:
            ProjectError: if it cannot load the project.
            ConnectionResetError: if it has exited later.
        """
        with self._lock:
            self.resume()
            exited = self.exit_description  # before the look at what it has sent
            if self.failure is None and self._receive():
                self._read_report(now)
            if self.failure is None and exited is not None:
                self.kill(exited)  # a program that it started may keep the connection open
            if self.loaded_at is None and self.failure is None:
                self._check_load(now - self._started_at)
            if self.failure is None:
                return
            if self.loaded_at is None:
                raise ProjectError(explain_failed_load(self.failure))
            raise ConnectionResetError(f"the fork server has exited ({self.failure})")

    def wait_until_loaded(self) -> None:
        """Return when the project is loaded.

        Raises:
            ProjectError: if it cannot be loaded.
        """
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        self.look(time.monotonic())
        while self.loaded_at is None:
            poll.poll(POLL_INTERVAL * 1000)
            self.look(time.monotonic())

    def kill(self, failure: str) -> None:
        """Kill the server, and with it, on Linux, the processes that it has forked."""
        self.failure = failure
        self._process.kill()

    def stop(self) -> None:
        """Make the server exit, which also ends its children; kill it if it loads or hangs."""
        atexit.unregister(self.stop)
        self._connection.close()
        if self.loaded_at is not None and self.failure is None:
            self.resume()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_TIMEOUT + 1.0)
        self._process.kill()
        self._process.wait()

    def _receive(self) -> bool:
        """Return whether anything has arrived; note the failure if the server has exited."""
        try:
            data = self._connection.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._report += data
        if not data:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSED_TIMEOUT)
            self.kill(self.exit_description or "it closed its connection")
        return bool(data)

    def _read_report(self, now: float) -> None:
        if len(self._report) < NUMBER.size:
            return
        size = NUMBER.unpack_from(self._report)[0]
        text = self._report[NUMBER.size :]
        if self.loaded_at is not None or len(text) < size:
            return
        report = json.loads(text)
        if FAILURE in report:
            self.kill(report[FAILURE])
        else:
            self.limits_in_code = LimitsInCode(*report[LIMITS])
            self.schedules_in_code = SchedulesInCode(**report[SCHEDULES])
            self.loaded_at = now

    def _check_load(self, seconds: float) -> None:
        if seconds > LOAD_TIMEOUT:
            self.kill(f"not done in {LOAD_TIMEOUT:g} s")
        elif seconds > SLOW_LOAD and not self._is_slow:
            self._is_slow = True
            logger.warning(
                "The fork server (process %s) has been loading the project for %g s. Child "
                "processes start once it has; it is killed after %g s.",
                self._process.pid,
                SLOW_LOAD,
                LOAD_TIMEOUT,
            )


def explain_failed_load(reason: str) -> str:
    """Return the error message about a project that the fork server could not load."""
    if reason.startswith((TASKS_NOT_IMPORTED, TASKS_IN_ERROR)):
        return reason
    return (
        f"The child processes could not load the project ({reason}). They get this process's "
        f"settings and import path, but do not run {Path(sys.argv[0]).name}: what it does beyond "
        "that belongs in the package of the settings. With --processes 0 there are no child "
        "processes."
    )


def _start(project: Project, connection: int, file: int) -> subprocess.Popen[bytes]:
    main = MAIN.format(descriptor=connection, project=file)
    code = CODE.format(path=sys.path, arguments=sys.argv, main=main)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    environment = dict(os.environ)
    if project.settings_module:
        environment["DJANGO_SETTINGS_MODULE"] = project.settings_module
    return subprocess.Popen(  # noqa: S603
        [sys.executable, *flags, "-c", code],
        stdin=subprocess.DEVNULL,
        pass_fds=[connection, file],
        env=environment,
    )
