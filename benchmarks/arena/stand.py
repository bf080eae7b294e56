"""A contender on its store, as all measurements need it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arena.crew import Crew
from arena.enqueuer import CONTENDERS, Enqueuer
from arena.environments import environment
from arena.lineup import Contender, Workers
from arena.marks import Marks
from arena.stores.base import Store
from arena.stores.mariadb import MariaDB
from arena.stores.postgresql import PostgreSQL
from arena.stores.redis import Redis
from arena.stores.sqlite import SQLite

START_SECONDS = 30.0
STEP = 0.002


class Stand:
    """Opens fresh processes on an emptied store."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self._folder = Path(tempfile.mkdtemp(prefix="offload-bench-"))
        self.marks = Marks(self._folder / "marks")
        self.store = _store(contender.store, self._folder)
        self._bin = environment(contender.package)
        self._environment = {
            **os.environ,
            **self.store.environment(),
            **contender.settings,
            "BENCH_PEER": contender.package,
            "BENCH_MARKS": str(self.marks.path),
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(CONTENDERS),
        }

    @property
    def folder(self) -> Path:
        return self._folder

    def prepare(self) -> None:
        """Make the tables."""
        self.store.create()
        with self._enqueuer() as client:
            client.ask("prepare")
        self.store.keep()

    def remove(self) -> None:
        self.store.drop()
        shutil.rmtree(self._folder)

    @contextmanager
    def fresh(self) -> Iterator[Enqueuer]:
        """Give a new client on an emptied store."""
        self.store.restore()
        self.marks.clear()
        with self._enqueuer() as client:
            client.ask("open")
            yield client

    def crew(self, workers: Workers) -> Crew:
        commands = [[str(self._bin / first), *rest] for first, *rest in workers.commands]
        return Crew(commands, self._environment, self._folder / "log")

    @contextmanager
    def live(self, workers: Workers) -> Iterator[tuple[Enqueuer, Crew]]:
        """Give a client and workers that have run a first job and are idle again."""
        with self.fresh() as client, self.crew(workers) as crew:
            client.ask("trickle", count=1, low=0, high=0)
            self.wait_until(lambda: self.marks.count() >= 1, crew)
            threading.Event().wait(1)
            self.marks.clear()
            yield client, crew

    def wait_until(self, holds: Callable[[], bool], crew: Crew) -> None:
        """Look often.

        Raises:
            RuntimeError: if it takes too long or the workers end; with the end of their log.
        """
        pause = threading.Event()
        waited = 0.0
        while not holds():
            if waited > START_SECONDS or crew.is_finished():
                log = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"The workers of {self.contender.name} do not work.\n{log}")
            pause.wait(STEP)
            waited += STEP

    def _enqueuer(self) -> Enqueuer:
        return Enqueuer(self._bin / "python", self.contender.module, self._environment)


def _store(name: str, folder: Path) -> Store:
    if name == "sqlite":
        return SQLite(folder)
    return {"postgresql": PostgreSQL, "mariadb": MariaDB, "redis": Redis}[name]()
