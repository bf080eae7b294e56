"""One Celery worker for all tests of a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from tests.celery_apps import RESULTS_QUEUE, results
from tests.crash.fleet import require_broker
from tests.crash.processes import Process
from tests.waiting import wait_until

type StartWorker = Callable[..., Process]


@pytest.fixture(scope="module")
def start_worker(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartWorker]:
    """A function that starts a Celery worker on the test's database, and returns its process."""
    require_broker("redis")
    folder = tmp_path_factory.mktemp("celery")
    processes: list[Process] = []
    queues: set[str] = set()

    def start(pool: str = "prefork", *, queue: str = RESULTS_QUEUE) -> Process:
        command = ["-m", "celery", "-A", "tests.celery_apps:results", "worker", "--loglevel=info"]
        command += ["--pool", pool, "--concurrency", "2", "--queues", queue]
        command += ["--hostname", f"{uuid4().hex}@%h"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        variables = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "OFFLOAD_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "OFFLOAD_TEST_RESULTS_QUEUE": RESULTS_QUEUE,
        }
        queues.add(queue)
        process = Process(command, variables, Path(folder) / f"output-{len(processes)}")
        processes.append(process)
        wait_until(lambda: " ready." in process.output, "the Celery worker is ready", 90)
        return process

    yield start
    for process in processes:
        process.kill()
    with results.connection_for_write() as broker:
        for queue in queues:
            broker.default_channel.queue_delete(queue)


@pytest.fixture(scope="module")
def worker(start_worker: StartWorker) -> Process:
    """A Celery worker with two processes."""
    return start_worker()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file for which tasks wait; it is made at the end of the test."""
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture
def backend(db: None) -> Any:
    """The result backend in the process of the test."""
    return results.backend
