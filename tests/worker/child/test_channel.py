"""Messages between the worker and a child arrive whole, whatever their size."""

from __future__ import annotations

import marshal
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from offload.worker.child.channel import CHUNK_BYTES, HEADER, Channel


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
