"""Connections that are kept for good do not come from Django's pool."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.tasks import default_task_backend

from offload import JobState
from offload.watching.watcher import get_watcher
from offload.worker.config import WorkerConfig, make_engine
from tests.live import tasks
from tests.live.servers import Server
from tests.live.stream_reader import StreamReader
from tests.tasks import add
from tests.worker.conftest import RunningWorker, until

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="only it has a pool")
POOL = {"min_size": 1, "max_size": 1, "timeout": 3}


@pytest.mark.django_db(transaction=True)
def test_a_worker_and_an_open_stream_leave_the_pool_to_the_requests(
    process_environment: dict[str, str], tmp_path: Path, gate: Path
) -> None:
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


@pytest.fixture
def pool(other_database: Any, settings: Any, django_db_setup: None) -> Iterator[Any]:
    """A pool of one connection, which this thread holds."""
    pool = {"min_size": 1, "max_size": 1, "timeout": 0.5}
    options = {**connection.settings_dict["OPTIONS"], "pool": pool}
    other_database("pooled", NAME=connection.settings_dict["NAME"], OPTIONS=options)
    backend = "offload.backends.database.DatabaseBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "OPTIONS": {"database": "pooled"}}}
    own = connections["pooled"]
    own.ensure_connection()
    yield own.pool
    get_watcher("pooled").stop()
    with own.cursor() as cursor:
        cursor.execute("DELETE FROM offload_job")
    own.close()
    own.close_pool()


def test_a_worker_and_those_who_wait_use_connections_of_their_own(pool: Any) -> None:
    backend: Any = default_task_backend
    options = replace(backend.settings, processes=0)
    worker = RunningWorker(make_engine(WorkerConfig(options=options)))
    try:
        assert add.enqueue(1, 2).wait(timeout=20).return_value == 3
    finally:
        worker.stop()
    get_watcher("pooled").stop()
    assert pool.get_stats()["requests_num"] == 1  # this thread's
    with connections["pooled"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_listening_channels()")
        assert cursor.fetchone() == (0,)
