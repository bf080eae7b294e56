"""A way to wake a thread that waits in `select.poll`."""

from __future__ import annotations

import contextlib
import select
import socket


class Wakeup:
    """A pair of non-blocking sockets: one end is polled, the other is written to.

    Several notifications before `clear` count as one. An unused object closes automatically.
    """

    def __init__(self) -> None:
        self._reader, self._writer = (_End(fileno=end.detach()) for end in socket.socketpair())
        self._reader.setblocking(False)  # noqa: FBT003
        self._writer.setblocking(False)  # noqa: FBT003

    def fileno(self) -> int:
        """Return the descriptor that becomes readable after `notify`."""
        return self._reader.fileno()

    def notify(self) -> None:
        """Wake the thread. Safe in any thread, in a signal handler, and after `close`."""
        with contextlib.suppress(OSError):  # full: the thread wakes anyway
            self._writer.send(b"!")

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for a notification, and clear it."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if poll.poll(timeout * 1000):
            self.clear()

    def clear(self) -> None:
        """Forget the notifications so far; does not block."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)  # more than the socket can hold of single bytes

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _End(socket.socket):
    """A socket that closes without a ResourceWarning when it is no longer used.

    Not by a callback at exit: daemon threads wait until the interpreter has stopped them.
    """

    def __del__(self) -> None:
        self.close()
