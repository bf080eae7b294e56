"""Streams under each of the servers, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.live import tasks
from tests.live.servers import Server
from tests.live.stream_reader import StreamReader
from tests.waiting import TIMEOUT_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def open_streams(server: Server, result: Any, count: int) -> Iterator[list[StreamReader]]:
    """Open streams, and read the snapshot of each."""
    with ExitStack() as stack:
        readers = [
            stack.enter_context(StreamReader(server.port, [result.id])) for _ in range(count)
        ]
        assert [reader.expect("snapshot").id for reader in readers] == [f"{result.id}.0"] * count
        yield readers


def test_a_stream_sends_a_job_until_it_finishes(start_server, kind, start_worker):
    server = start_server(kind)
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id]) as reader:
        first = reader.expect("snapshot")
        start_worker(0)
        *changes, last, close = reader.remaining()

    assert first.id == f"{result.id}.0"
    assert first.data["items"][0]["phase"] == "queued"
    assert first.data["missing"] == []
    assert {event.name for event in [*changes, last]} == {"update"}
    assert last.data["phase"] == "succeeded"
    assert last.id == f"{result.id}.{last.data['version']}"
    assert (close.name, close.data) == ("close", {"reason": "finished"})
    assert "Traceback" not in server.output


def test_streams_close_on_shutdown(start_server, kind):
    server = start_server(kind, options={"max_streams_per_user": 100})
    with open_streams(server, tasks.for_all.enqueue(), 100) as readers:
        server.terminate()
        messages = [[event.data for event in reader.remaining()] for reader in readers]

        # Daphne closes all connections immediately.
        assert messages == [[] if kind == "daphne" else [{"reason": "shutdown"}]] * 100
        server.process.wait(TIMEOUT_SECONDS)
    assert "Traceback" not in server.output


def test_hundreds_of_streams_hold_no_threads_and_no_connections(start_server, kind):
    server = start_server(kind, options={"max_streams_per_user": 300})
    with open_streams(server, tasks.for_all.enqueue(), 300):
        assert server.serving().num_threads() <= 20
        # Of the watcher: one for its queries, and one for the listener.
        assert server.connections() <= 2


def test_a_closed_stream_is_not_counted(start_server, kind):
    server = start_server(kind, options={"max_streams": 1})
    result = tasks.for_all.enqueue()
    with open_streams(server, result, 1), StreamReader(server.port, [result.id]) as second:
        assert second.status == 429

    with StreamReader.when_admitted(server.port, [result.id]) as third:
        third.expect("snapshot")
