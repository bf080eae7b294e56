"""The worker's side of the fork server, and of the processes that it forks."""

from __future__ import annotations

import atexit
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from offload.worker.child.fork_server import EXIT_TIMEOUT, NUMBER
from offload.worker.child.project import Project, ProjectError, describe_project

LOAD_TIMEOUT = 120.0
"""Seconds in which the server loads the project, before it is killed."""
FORK_TIMEOUT = 10.0
"""Seconds in which the server forks a process, before it is killed with those that it has forked.

Meanwhile the worker sends no heartbeat, so this must be shorter than the lease.
"""
UNKNOWN_EXIT_CODE = 255
"""The exit code of a process whose fork server died."""
CODE = "import sys; sys.path[:] = {path!r}; sys.argv[:] = {arguments!r}; {main}"
MAIN = "from offload.worker.child.fork_server import main; main({descriptor})"


class ForkServer:
    """A process that has loaded the project, and forks child processes from itself.

    It starts with the first child, and again after its death. It belongs to the thread that
    started it: on Linux it dies with that thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def start(self) -> None:
        """Start the server unless it runs, and wait until it has loaded the project.

        Raises:
            ProjectError: if it cannot load the project.
        """
        with self._lock:
            self._ensure_started()

    def fork(self, end: socket.socket) -> ForkedProcess:
        """Start a child process.

        Args:
            end: the child's end of its connection to the worker.

        Raises:
            ProjectError: if the server has to start again and cannot load the project.
            OSError: if it cannot fork.
        """
        with self._lock:
            connection = self._ensure_started()
            reader, writer = os.pipe()
            try:
                self._resume()
                socket.send_fds(connection, [b"f"], [end.fileno(), writer])
                answer = _receive_number(connection)
            except BaseException as error:
                os.close(reader)
                self._stop()
                if isinstance(error, TimeoutError):
                    message = f"the fork server did not answer for {FORK_TIMEOUT:g} s; killed it"
                    raise TimeoutError(message) from error
                raise
            finally:
                os.close(writer)
        if answer < 0:
            os.close(reader)
            raise OSError(-answer, os.strerror(-answer))
        return ForkedProcess(answer, reader, self._resume)

    def stop(self) -> None:
        """Make the server exit, which also ends its children; kill it if it takes too long."""
        with self._lock:
            if self._connection is not None and self._process is not None:
                self._resume()
                self._connection.close()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(EXIT_TIMEOUT + 1.0)
            self._stop()

    def _resume(self) -> None:
        """Wake the server if a signal (SIGSTOP) has stopped it: it would report no exits."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _ensure_started(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._connection is None:
            project = describe_project()
            self._connection = self._start_process(project)
            try:
                self._wait_until_loaded(self._connection, project)
            except BaseException:
                self._stop()
                raise
        return self._connection

    def _start_process(self, project: Project) -> socket.socket:
        own_end, server_end = socket.socketpair()
        main = MAIN.format(descriptor=server_end.fileno())
        code = CODE.format(path=sys.path, arguments=sys.argv, main=main)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        environment = dict(os.environ)
        if project.settings_module:
            environment["DJANGO_SETTINGS_MODULE"] = project.settings_module
        with server_end:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *flags, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[server_end.fileno()],
                env=environment,
            )
        atexit.register(self.stop)
        return own_end

    def _wait_until_loaded(self, connection: socket.socket, project: Project) -> None:
        connection.settimeout(LOAD_TIMEOUT)
        try:
            connection.sendall(pickle.dumps(tuple(project)))
            report = _receive(connection, _receive_number(connection))
        except TimeoutError as error:
            raise ProjectError(explain_failed_load(f"not done in {LOAD_TIMEOUT:g} s")) from error
        except OSError as error:
            code = self._process.wait() if self._process is not None else None
            raise ProjectError(explain_failed_load(f"exit code {code}")) from error
        if report:
            raise ProjectError(explain_failed_load(report.decode()))
        connection.settimeout(FORK_TIMEOUT)

    def _stop(self) -> None:
        atexit.unregister(self.stop)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class ForkedProcess:
    """A process that the fork server has forked.

    Args:
        pid: its process id.
        sentinel: a descriptor that becomes readable when it exits.
        resume_server: wakes the server, which reports the exit.
    """

    def __init__(self, pid: int, sentinel: int, resume_server: Callable[[], None]) -> None:
        self.pid = pid
        self.sentinel = sentinel
        self._resume_server = resume_server
        self._exit_code: int | None = None

    @property
    def exitcode(self) -> int | None:
        """None while it runs, the negative number of the signal that killed it."""
        self.join(0)
        return self._exit_code

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has exited, or for `timeout` seconds."""
        if self._exit_code is not None:
            return
        poll = select.poll()
        poll.register(self.sentinel, select.POLLIN)
        if poll.poll(None if timeout is None else timeout * 1000):
            status = os.read(self.sentinel, NUMBER.size)
            if not status:  # the server died, and its children with it, at least on Linux
                self.kill()
            self._exit_code = NUMBER.unpack(status)[0] if status else UNKNOWN_EXIT_CODE

    def kill(self) -> None:
        """Send SIGKILL, unless it has exited."""
        if self._exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._resume_server()

    def close(self) -> None:
        """Close the sentinel."""
        os.close(self.sentinel)


fork_server = ForkServer()
"""The fork server of this process."""


def can_load_project() -> bool:
    """Return whether another process can load the project, which prints the error if it cannot."""
    server = ForkServer()
    try:
        server.start()
    except ProjectError:
        return False
    finally:
        server.stop()
    return True


def _receive_number(connection: socket.socket) -> int:
    return int(NUMBER.unpack(_receive(connection, NUMBER.size))[0])


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = connection.recv(size - len(data))
        if not received:
            raise ConnectionResetError("the fork server has exited")
        data += received
    return data


def explain_failed_load(reason: str) -> str:
    """Return the error message about a project that the fork server could not load."""
    return (
        f"The child processes could not load the project ({reason}). They get this process's "
        f"settings and import path, but do not run {Path(sys.argv[0]).name}: what it does beyond "
        "that belongs in the package of the settings. With --processes 0 there are no child "
        "processes."
    )
