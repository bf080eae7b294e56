"""Messages between the worker and a child process: marshalled tuples over a socket.

The worker's end does not block: a message that the child does not read stays in a buffer, so a
child whose interpreter is held by C code cannot hold up the worker. Both ends run the same Python,
so they can use marshal, the fastest serializer. It must not read other bytes, which a task may
write to its process's descriptors by mistake: each message has a header that such bytes lack.
"""

from __future__ import annotations

import errno
import marshal
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

HEADER = struct.Struct("=III")
"""Precedes each message: its length in bytes, the complement of the length, and a checksum."""
CHUNK_BYTES = 1 << 18
"""Bytes read or written at once, at most."""
MAX_CHUNKS = 16
"""Chunks that one `receive` reads, at most, so that no sender can keep its caller from others."""
MAX_MESSAGE_BYTES = 1 << 30
_ALL_BITS = 0xFFFFFFFF


class MalformedMessage(Exception):
    """Bytes that are not a message, or a message of an unknown form."""


class MessageKind:
    """The kinds of messages. A message is a tuple of its kind and its content."""

    # From the worker to the child
    RUN = "run"
    """The first job's number, and the jobs as tuples, in the order in which to start them."""
    CANCEL = "cancel"
    """The claim keys of jobs to interrupt."""
    ANNOUNCE_FINISHED = "announce finished"
    """A job and its outcome as tuples, for the receivers of Django's `task_finished`."""
    ANNOUNCE_ENDED = "announce ended"
    """Jobs of workflows that ended because others did, by ids and states, for `announce_ended`."""
    PING = "ping"
    """No content: the child counts it, if it can run code."""
    STOP = "stop"
    """No content."""

    # From the child to the worker
    READY = "ready"
    """No content: the child accepts jobs."""
    EXHAUSTED = "exhausted"
    """No content: the child has hardly any file descriptors left."""
    LIMITS = "limits"
    """The limits of the tasks that the child has loaded, as the fields of a `LimitsInCode`."""
    PROGRESS = "progress"
    """The progress of running jobs: JSON text by claim key."""
    FINISHED = "finished"
    """Rows of number, outcome and run time in seconds; no run time if the job was not started."""


class Channel:
    """One end of the connection between the worker and a child process.

    Attributes:
        is_closed: whether nothing can be sent or received any more.
        is_behind: whether the last `receive` left bytes unread.
    """

    def __init__(self, end: socket.socket) -> None:
        self.is_closed = False
        self.is_behind = False
        self._socket = end
        self._identity = _identity_of(end)
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
        self._outgoing += HEADER.pack(len(body), len(body) ^ _ALL_BITS, crc32(body)) + body
        self.flush()

    def flush(self) -> None:
        """Send buffered bytes, as many as the socket takes; drop them if an end has closed."""
        try:
            while self._outgoing:
                self._check_descriptor()
                sent = self._socket.send(self._outgoing[:CHUNK_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True
            self._outgoing.clear()

    def receive(self) -> Iterator[tuple[Any, ...]]:
        """Read what has arrived, and yield the complete messages.

        Raises:
            MalformedMessage: the bytes after these messages are not a message.
        """
        self._read_available()
        start = 0
        try:
            while (end := self._end_of_message(start)) is not None:
                body = self._incoming[start + HEADER.size : end]
                message = _unpack(body, self._incoming[start : start + HEADER.size])
                start = end
                yield message
        finally:
            del self._incoming[:start]

    def close(self) -> None:
        """Close the socket."""
        self.is_closed = True
        self._socket.close()

    def _check_descriptor(self) -> None:
        """Raise OSError if the descriptor does not mean this socket any more.

        A task may have closed it, and its number may belong to a file of the task by now.
        """
        if _identity_of(self._socket) != self._identity:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _read_available(self) -> None:
        """Read until the socket is empty, or for MAX_CHUNKS."""
        self.is_behind = False
        try:
            self._check_descriptor()
            for _ in range(MAX_CHUNKS):
                data = self._socket.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
                self._incoming += data
                if len(data) < CHUNK_BYTES:
                    self.is_closed = self.is_closed or not data
                    return
            self.is_behind = True
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True

    def _end_of_message(self, start: int) -> int | None:
        """Return where the message at `start` ends; None if it has not arrived completely."""
        size = len(self._incoming)
        if size - start < HEADER.size:
            return None
        length, complement, _ = HEADER.unpack_from(self._incoming, start)
        if length ^ complement != _ALL_BITS or length > MAX_MESSAGE_BYTES:
            raise MalformedMessage("bytes that are not a message")
        end = start + HEADER.size + int(length)
        return end if end <= size else None


def _unpack(body: bytearray, header: bytearray) -> tuple[Any, ...]:
    if crc32(body) != HEADER.unpack(header)[2]:
        raise MalformedMessage("a message whose bytes have changed on the way")
    try:
        message = marshal.loads(body)  # noqa: S302  # the header shows where it comes from
    except (ValueError, TypeError, EOFError) as error:
        raise MalformedMessage(f"a message that cannot be read ({error})") from error
    if not isinstance(message, tuple):
        raise MalformedMessage(f"a {type(message).__name__}, which is not a message")
    return message


def _identity_of(end: socket.socket) -> tuple[int, int]:
    status = os.fstat(end.fileno())
    return status.st_dev, status.st_ino
