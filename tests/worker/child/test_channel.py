"""Messages between engine and child arrive whole, whatever their size."""

from __future__ import annotations

import marshal
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from offload.worker.child.channel import _CHUNK, _LENGTH, Channel


@pytest.fixture
def links() -> Iterator[tuple[Channel, Channel]]:
    """Both ends, as a child has them: reading waits if nothing is there."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _CHUNK)
    ends[0].setblocking(False)
    links = Channel(ends[0]), Channel(ends[1])
    yield links
    for link in links:
        link.close()


def text_of(size: int) -> str:
    """Return a text whose message has so many bytes on the wire."""
    overhead = len(marshal.dumps(("text", "x" * 1000))) - 1000 + _LENGTH.size
    return "x" * (size - overhead)


@pytest.mark.parametrize("size", [_CHUNK - 1, _CHUNK, _CHUNK + 1])
def test_a_message_as_long_as_one_read_is_received_at_once(
    links: tuple[Channel, Channel], size: int
) -> None:
    sender, receiver = links
    text = text_of(size)
    received: queue.Queue[list[tuple[str, str]]] = queue.Queue()

    def receive() -> None:
        messages: list[tuple[str, str]] | None = []
        while messages == []:
            messages = receiver.receive()
        received.put(messages or [])

    sender.send("text", text)
    thread = threading.Thread(target=receive)
    thread.start()
    try:
        while sender.is_full:
            sender.flush()
        assert received.get(timeout=10) == [("text", text)]
    finally:
        sender.close()  # a reader that still waits is let go
        thread.join()
