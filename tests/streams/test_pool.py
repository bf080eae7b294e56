"""A web server whose database connections come from Django's pool, as a real process."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from offload import JobState
from tests.live import tasks
from tests.live.servers import Server
from tests.live.stream_reader import StreamReader
from tests.worker.conftest import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only it has a pool"),
]
POOL = {"min_size": 1, "max_size": 1, "timeout": 3}


def test_a_worker_and_an_open_stream_leave_the_pool_to_the_requests(
    process_environment: dict[str, str], tmp_path: Path, gate: Path
) -> None:
    pytest.importorskip("psycopg_pool")
    server = Server(
        "uvicorn",
        {**process_environment, "OFFLOAD_TEST_POOL": json.dumps(POOL)},
        tmp_path / "log",
        application="tests.live.application:with_worker",
    )
    try:
        result: Any = tasks.fill.enqueue(str(gate))
        with StreamReader(server.port, [result.id]) as reader:
            reader.expect("snapshot")
            until(lambda: result.refresh() or result.state == JobState.RUNNING)
            url = f"http://127.0.0.1:{server.port}/tasks/{result.id}/"
            for _ in range(20):
                with urllib.request.urlopen(url, timeout=20) as response:
                    assert json.load(response)["id"] == result.id
            gate.touch()
            *_, last, _ = reader.remaining()
        assert last.data["phase"] == "succeeded"
        assert "Traceback" not in server.output, server.output
        assert "connection" not in server.output, server.output
    finally:
        server.kill()
