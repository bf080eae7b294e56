"""Messages between the worker and a child process: marshalled tuples over a socket.

The worker's end does not block: a message that the child does not read stays in a buffer, so a
child whose interpreter is held by C code cannot hold up the worker. Both ends run the same Python
and no other process writes to the socket, so marshal is safe; it is also the fastest serializer.
"""

from __future__ import annotations

import marshal
import socket
import struct
from typing import Any

HEADER = struct.Struct("=I")
"""Precedes each message: its length in bytes."""
CHUNK_BYTES = 1 << 18
"""Bytes read or written at once, at most."""


class MessageKind:
    """The kinds of messages. A message is a tuple of its kind and its content."""

    # From the worker to the child
    RUN = "run"
    """The first job's number, and the jobs as tuples, in the order in which to start them."""
    CANCEL = "cancel"
    """The claim keys of jobs to interrupt."""
    ANNOUNCE_FINISHED = "announce finished"
    """A job and its outcome as tuples, for the receivers of Django's `task_finished`."""
    STOP = "stop"
    """No content."""

    # From the child to the worker
    READY = "ready"
    """No content: the child accepts jobs."""
    PROGRESS = "progress"
    """The progress of running jobs: JSON text by claim key."""
    FINISHED = "finished"
    """Rows of number, outcome and run time in seconds; no run time if the job was not started."""


class Channel:
    """One end of the connection between the worker and a child process."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether a part of a message is still to be sent."""
        return bool(self._outgoing)

    def send(self, *message: Any) -> None:
        """Send a message, or as much of it as the socket takes without blocking."""
        body = marshal.dumps(message)
        self._outgoing += HEADER.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Send buffered bytes, as many as the socket takes; drop them if the other end closed."""
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing[:CHUNK_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()

    def receive(self) -> list[tuple[Any, ...]] | None:
        """Return the complete messages so far; None once the other end has closed."""
        is_closed = self._read_available()
        messages = self._unpack()
        if is_closed and not messages:
            return None
        return messages

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _read_available(self) -> bool:
        """Read until the socket is empty. Return True if the other end has closed."""
        try:
            while True:
                data = self._socket.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
                self._incoming += data
                if len(data) < CHUNK_BYTES:
                    return not data
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _unpack(self) -> list[tuple[Any, ...]]:
        messages = []
        start, size = 0, len(self._incoming)
        while size - start >= HEADER.size:
            (length,) = HEADER.unpack_from(self._incoming, start)
            body = start + HEADER.size
            if size - body < length:
                break
            messages.append(marshal.loads(self._incoming[body : body + length]))  # noqa: S302
            start = body + length
        del self._incoming[:start]
        return messages
