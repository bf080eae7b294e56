"""A contender with its store, its client and its workers."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from comparison.client_process import CONTENDERS, ClientProcess
from comparison.contenders import Contender, WorkerConfig
from comparison.environments import environment
from comparison.start_log import StartLog
from comparison.stores.base import Store
from comparison.stores.brokers import PostgreSQLWithRabbitMQ, PostgreSQLWithRedis
from comparison.stores.mariadb import MariaDB
from comparison.stores.postgresql import PostgreSQL
from comparison.stores.redis import Redis
from comparison.stores.sqlite import SQLite
from comparison.worker_processes import WorkerProcesses

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.002


class Sandbox:
    """Starts new processes of one contender on an empty store."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self._folder = Path(tempfile.mkdtemp(prefix="offload-bench-"))
        self.starts = StartLog(self._folder / "starts")
        self.store = _store(contender.store, self._folder)
        self._bin = environment(contender.package)
        self._environment = {
            **os.environ,
            **self.store.environment(),
            **contender.settings,
            "BENCH_PEER": contender.package,
            "BENCH_START_LOG": str(self.starts.path),
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(CONTENDERS),
        }

    @property
    def folder(self) -> Path:
        return self._folder

    def prepare(self) -> None:
        """Create the tables."""
        self.store.create()
        with self._client() as client:
            client.request("prepare")
        self.store.save()

    def remove(self) -> None:
        """Remove the store and all files."""
        self.store.drop()
        shutil.rmtree(self._folder)

    @contextmanager
    def new_client(self) -> Iterator[ClientProcess]:
        """Start a client on an empty store."""
        self.store.restore()
        self.starts.clear()
        with self._client() as client:
            client.request("open")
            yield client

    def start_workers(self, config: WorkerConfig) -> WorkerProcesses:
        """Return the workers of a configuration, which start with a `with` block."""
        commands = [[str(self._bin / first), *rest] for first, *rest in config.commands]
        return WorkerProcesses(commands, self._environment, self._folder / "log")

    @contextmanager
    def running_workers(
        self, config: WorkerConfig
    ) -> Iterator[tuple[ClientProcess, WorkerProcesses]]:
        """Start a client, and workers that have run a first job and are idle again."""
        with self.new_client() as client, self.start_workers(config) as processes:
            client.request("trickle", count=1, low=0, high=0)
            self.wait_until(lambda: self.starts.count() >= 1, processes)
            threading.Event().wait(1)
            self.starts.clear()
            yield client, processes

    def wait_until(self, condition: Callable[[], bool], processes: WorkerProcesses) -> None:
        """Poll a condition until it is true.

        Raises:
            RuntimeError: after a timeout, or if a worker exits; contains the end of the log.
        """
        pause = threading.Event()
        waited = 0.0
        while not condition():
            if waited > TIMEOUT_SECONDS or processes.has_exited():
                log = (self._folder / "log").read_text(errors="replace")[-2000:]
                name = self.contender.name
                raise RuntimeError(f"The workers of {name} do not run the jobs.\n{log}")
            pause.wait(POLL_SECONDS)
            waited += POLL_SECONDS

    def _client(self) -> ClientProcess:
        return ClientProcess(self._bin / "python", self.contender.module, self._environment)


def _store(name: str, folder: Path) -> Store:
    if name == "sqlite":
        return SQLite(folder)
    stores: dict[str, Callable[[], Store]] = {
        "postgresql": PostgreSQL,
        "mariadb": MariaDB,
        "redis": Redis,
        "postgresql+redis": PostgreSQLWithRedis,
        "postgresql+rabbitmq": PostgreSQLWithRabbitMQ,
    }
    return stores[name]()
