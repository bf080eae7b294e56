"""Messages between the worker and a child arrive whole, whatever their size."""

from __future__ import annotations

import marshal
import os
import queue
import socket
import threading
from collections.abc import Iterator
from zlib import crc32

import pytest

from offload.worker.child.channel import (
    CHUNK_BYTES,
    HEADER,
    MAX_MESSAGE_BYTES,
    Channel,
    MalformedMessage,
)


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    """The worker's non-blocking end and the child's blocking one."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * CHUNK_BYTES)
    ends[0].setblocking(False)
    channels = Channel(ends[0]), Channel(ends[1])
    yield channels
    for channel in channels:
        channel.close()


def text_of(size: int) -> str:
    """Return a text whose message has `size` bytes on the wire."""
    overhead = len(marshal.dumps(("text", "x" * 1000))) - 1000 + HEADER.size
    return "x" * (size - overhead)


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_message_as_long_as_one_read_is_received_at_once(
    channels: tuple[Channel, Channel], size: int
) -> None:
    sender, receiver = channels
    text = text_of(size)
    received: queue.Queue[list[tuple[str, str]]] = queue.Queue()

    def receive() -> None:
        messages: list[tuple[str, str]] = []
        while not messages:
            messages = list(receiver.receive())
        received.put(messages)

    sender.send("text", text)
    thread = threading.Thread(target=receive)
    thread.start()
    try:
        while sender.has_unsent:
            sender.flush()
        assert received.get(timeout=10) == [("text", text)]
    finally:
        sender.close()  # unblocks a reader that still waits
        thread.join()


BODY = marshal.dumps(("text", "after"))


def header(size: int, checksum: int = 0) -> bytes:
    return HEADER.pack(size, size ^ 0xFFFFFFFF, checksum)


def framed(body: bytes) -> bytes:
    return header(len(body), crc32(body)) + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HEADER.pack(0x7FFFFFFF, 0, 0), "bytes that are not a message"),
        (header(MAX_MESSAGE_BYTES + 1), "bytes that are not a message"),
        (header(len(BODY)) + BODY, "whose bytes have changed"),
        (framed(b"text"), "cannot be read"),
        (framed(marshal.dumps(5)), "a int, which is not a message"),
    ],
)
def test_other_bytes_are_refused_without_waiting_for_more(
    channels: tuple[Channel, Channel], data: bytes, reason: str
) -> None:
    receiver, sender = channels
    received = []
    sender.send("before")
    os.write(sender.fileno(), data)

    with pytest.raises(MalformedMessage, match=reason):  # noqa: PT012  # after the first message
        for message in receiver.receive():
            received.append(message)  # noqa: PERF402

    assert received == [("before",)]
