"""With Django's connection pool, what is kept for good is not taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, connections
from django.tasks import default_task_backend

from offload.watching.watcher import get_watcher
from offload.worker.config import WorkerConfig, make_engine
from tests import tasks
from tests.worker.conftest import RunningWorker

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="only it has a pool")


@pytest.fixture
def pool(other_database: Any, settings: Any, django_db_setup: None) -> Iterator[Any]:
    """A pool of one connection, which this thread holds."""
    pytest.importorskip("psycopg_pool")
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
        assert tasks.add.enqueue(1, 2).wait(timeout=20).return_value == 3
    finally:
        worker.stop()
    get_watcher("pooled").stop()
    assert pool.get_stats()["requests_num"] == 1  # this thread's
    with connections["pooled"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_listening_channels()")
        assert cursor.fetchone() == (0,)
