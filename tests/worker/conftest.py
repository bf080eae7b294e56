"""Workers for the tests, each in a thread of the test process."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.tasks import default_task_backend

from offload.watching.watcher import get_watcher
from offload.worker.config import WorkerConfig, make_engine
from offload.worker.engine import Engine
from offload.worker.pools import capacity, waiting_jobs
from offload.worker.pools.fork_server import fork_server
from tests.worker import event_log

POOLS = {"in-process": 0, "child-process": 1}
"""How many child processes."""
WORKER_THREAD = "worker under test"
"""The name of the thread in which a worker's loop runs."""


@pytest.fixture(scope="session", autouse=True)
def child_environment(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Set the environment in which child processes find the test's database and event log.

    Other test folders use this fixture too. The first one sets it for all.
    """
    if event_log.ENVIRONMENT in os.environ:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOAD_DATABASE_NAME", str(connection.settings_dict["NAME"]))
        patch.setenv(event_log.ENVIRONMENT, str(tmp_path_factory.mktemp("events") / "events"))
        # Children exit with the thread that started their server: it must outlive all workers.
        fork_server.start()
        yield
    fork_server.stop()
    get_watcher("default").stop()  # an open connection prevents dropping the database


@pytest.fixture(params=list(POOLS))
def processes(request: pytest.FixtureRequest) -> int:
    return POOLS[request.param]


class RunningWorker:
    """A worker whose loop runs in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.pool: Any = engine.pool
        self._thread = threading.Thread(target=engine.run, name=WORKER_THREAD)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, *, at_once: bool = False) -> None:
        if self._thread.is_alive():
            self.engine.stop()
            if at_once:
                self.engine.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


type StartWorker = Callable[..., RunningWorker]


@pytest.fixture
def start_worker(transactional_db: None, child_environment: None) -> Iterator[StartWorker]:
    """Start workers, with options of the backend or fields of `WorkerConfig`."""
    started: list[RunningWorker] = []

    def start(processes: int = 0, **choices: Any) -> RunningWorker:
        fields = {"queues", "excluded", "drain", "duties_only"}
        config = {name: choices.pop(name) for name in fields & choices.keys()}
        choices = {"threads": 2, "async_slots": 100, "kill_grace_period": 0.3, **choices}
        backend: Any = default_task_backend
        options = replace(backend.settings, processes=processes, **choices)
        running = RunningWorker(make_engine(WorkerConfig(options=options, **config)))
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop(at_once=True)


@pytest.fixture
def takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs wait in the pool, so that each is claimed once and they start in order.

    On a busy machine they may wait longer than the pool allows. It then gives them back, and any
    worker claims them again: their fence rises.
    """
    monkeypatch.setattr(capacity, "STUCK_TIMEOUT", 60.0)
    monkeypatch.setattr(waiting_jobs, "START_TIMEOUT", 60.0)


@pytest.fixture
def worker(start_worker: StartWorker, processes: int) -> RunningWorker:
    return start_worker(processes)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that tasks may wait for. The test creates it; else it is created at the end."""
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A pipe on which tasks may block in C code, until the end of the test."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    with contextlib.suppress(OSError):  # no task waits
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def until(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Return the value of the condition as soon as it is true."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        value = condition()
        if value:
            return value
        pause.wait(0.01)
    raise AssertionError(f"The condition was not met within {seconds} s.")


def has_started(result: Any) -> bool:
    return bool(event_log.entries("running", result.id))
