"""Streams under each of the servers, as real processes."""

from __future__ import annotations

import pytest

from tests.live import tasks
from tests.live.reading import Reader

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stream_tells_all_that_happens_to_a_job(start_server, kind, start_engine):
    server = start_server(kind)
    result = tasks.for_all.enqueue()

    with Reader(server.port, [result.id]) as reader:
        first = reader.next()
        start_engine(0)
        rest = reader.rest()

    assert first.name == "snapshot"
    assert first.data["items"][0]["phase"] == "queued"
    assert first.data["missing"] == []
    assert first.id == f"{result.id}.0"
    *changes, last, end = rest
    assert {event.name for event in [*changes, last]} == {"task"}
    assert last.data["phase"] == "succeeded"
    assert last.id == f"{result.id}.{last.data['version']}"
    assert end.data == {"reason": "done"}
    assert "Traceback" not in server.output
