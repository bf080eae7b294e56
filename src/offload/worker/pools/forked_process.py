"""A process that the fork server forks: first requested, then running, at last exited."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress

from offload.worker.child.fork_server import NUMBER
from offload.worker.pools.server_process import ServerProcess
from offload.worker.pools.time_limits import FORK_TIMEOUT, UNANSWERED_TIMEOUT

UNKNOWN_EXIT_CODE = 255
"""The exit code of a process whose fork server died."""


class ForkRequest:
    """A process that the fork server has not forked yet, as it loads the project or is busy.

    Args:
        server: has been asked for the process.

    Attributes:
        status: becomes readable when the server answers, and again when the process exits.

    Raises:
        OSError: if the server cannot be asked.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._requested_at = time.monotonic()
        self._end, child_end = socket.socketpair()
        self.status, writer = os.pipe()
        os.set_blocking(self.status, False)
        try:
            server.request(child_end.fileno(), writer)
        except BaseException:
            self.close()
            raise
        finally:
            child_end.close()
            os.close(writer)

    def process(self, now: float) -> ForkedProcess | None:
        """Return the process, or None until the server has forked it.

        Raises:
            ProjectError: if the server cannot load the project.
            OSError: if it cannot fork, does not answer or has exited.
        """
        answer = None
        with suppress(EOFError):  # the server has exited, as the look at it shows
            answer = _read_number(self.status)
        if answer is None:
            self._server.look(now)
            self._check_answer(now)
            return None
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return ForkedProcess(answer, self.status, self._end, self._server)

    def close(self) -> None:
        """Give up: the process exits as soon as it finds its connection closed."""
        self._end.close()
        os.close(self.status)

    def abandon(self, now: float) -> None:
        """Give up as the worker stops, and kill a server that hangs: it would report no exits."""
        if self._seconds_unanswered(now) > UNANSWERED_TIMEOUT:
            self._server.kill("it did not answer while the worker stopped")
        self.close()

    def _check_answer(self, now: float) -> None:
        if self._seconds_unanswered(now) > FORK_TIMEOUT:
            message = f"the fork server did not answer for {FORK_TIMEOUT:g} s; killed it"
            self._server.kill(message)
            raise TimeoutError(message)

    def _seconds_unanswered(self, now: float) -> float:
        """Return for how long the server could have forked the process and has not."""
        loaded_at = self._server.loaded_at
        return 0.0 if loaded_at is None else now - max(loaded_at, self._requested_at)


class ForkedProcess:
    """A process that the fork server has forked.

    Args:
        pid: its process id.
        sentinel: a descriptor that becomes readable when it exits.
        end: the worker's end of the connection to it.
        server: reports the exit.
    """

    def __init__(self, pid: int, sentinel: int, end: socket.socket, server: ServerProcess) -> None:
        self.pid = pid
        self.sentinel = sentinel
        self.end = end
        self._server = server
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
            try:
                self._exit_code = _read_number(self.sentinel)
            except EOFError:  # the server died, and its children with it, at least on Linux
                self.kill()
                self._exit_code = UNKNOWN_EXIT_CODE

    def kill(self) -> None:
        """Send SIGKILL, unless it has exited."""
        if self._exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._server.resume()

    def close(self) -> None:
        """Close the sentinel."""
        os.close(self.sentinel)


def _read_number(pipe: int) -> int | None:
    """Return the next number in a pipe; None if none has arrived.

    Raises:
        EOFError: if none will arrive, as the fork server has exited.
    """
    try:
        data = os.read(pipe, NUMBER.size)
    except BlockingIOError:
        return None
    if not data:
        raise EOFError
    return int(NUMBER.unpack(data)[0])
