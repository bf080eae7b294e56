"""Messages between the engine and a child: marshalled tuples over a socket, in batches.

The engine's side never waits: what the child does not read stays in a buffer here, so that a
child whose interpreter is held by C code cannot hold the engine. Both sides run the same
Python, and nobody else writes to the socket, so marshal is safe and the cheapest there is.
"""

from __future__ import annotations

import marshal
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("=I")
_CHUNK = 1 << 18


class Channel:
    """One end. A message is a tuple whose first item names its kind."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_full(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._outgoing)

    def send(self, *message: Any) -> None:
        """Send a message, or as much of it as goes without waiting."""
        body = marshal.dumps(message)
        self._outgoing += _LENGTH.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as it goes without waiting; drop it if nobody is there."""
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing[:_CHUNK])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()

    def receive(self) -> list[tuple[Any, ...]] | None:
        """Return the messages that have come; None when the other end is gone."""
        gone = False
        try:
            while True:
                data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
                self._incoming += data
                gone = not data
                if len(data) < _CHUNK:
                    break
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        messages = self._unpack()
        return None if gone and not messages else messages

    def close(self) -> None:
        self._socket.close()

    def _unpack(self) -> list[tuple[Any, ...]]:
        messages = []
        start, end = 0, len(self._incoming)
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming, start)
            body = start + _LENGTH.size
            if end - body < length:
                break
            messages.append(marshal.loads(self._incoming[body : body + length]))  # noqa: S302
            start = body + length
        del self._incoming[:start]
        return messages
