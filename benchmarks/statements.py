"""Count the statements and commits of 1,000 jobs, those of an idle worker, and those of a fleet.

    .venv/bin/python benchmarks/statements.py sqlite postgresql mariadb

Each database is measured in a process of its own, in a test database.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.tasks import default_task_backend
from django.tasks.signals import task_finished
from django.test.utils import setup_databases, teardown_databases

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from benchmarks.fleet_in_threads import FleetInThreads
    from offload.worker.engine import Engine

JOBS = 1_000
MANY_JOBS = 10_000
PROCESSES = 8
IDLE_SECONDS = 20
WARM_UP_SECONDS = 2
ROOT = Path(__file__).resolve().parents[1]
WRITES = {"INSERT", "UPDATE", "DELETE"}


class StatementCounter:
    """Counts the statements and commits of all connections that this process opens from now on."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0
        connection_created.connect(self._watch)

    def _watch(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if connection.vendor == "sqlite":
            raw = connection.connection
            raw.set_trace_callback(
                lambda sql: self._trace(sql, is_autocommit=not raw.in_transaction)
            )
        elif self._execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._execute)
            commit = connection._commit  # noqa: SLF001  # Django has no hook for it

            def count_and_commit() -> None:
                self.commits += 1
                commit()

            connection._commit = count_and_commit  # type: ignore[method-assign]  # noqa: SLF001

    def stop(self, connection: BaseDatabaseWrapper) -> None:
        """Stop counting, and restore a connection."""
        connection_created.disconnect(self._watch)
        connection.close()
        if self._execute in connection.execute_wrappers:
            connection.execute_wrappers.remove(self._execute)
            del connection._commit  # noqa: SLF001

    def _trace(self, sql: str, *, is_autocommit: bool) -> None:
        keyword = sql.lstrip().split(maxsplit=1)[0].upper()
        if keyword == "COMMIT" or (is_autocommit and keyword in WRITES):
            self.commits += 1
        if keyword not in {"BEGIN", "COMMIT", "PRAGMA"}:
            self.statements += 1

    def _execute(self, execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        # One round trip may contain many statements.
        count = len(params) if many else sql.count(";") + 1
        self.statements += count
        if not context["connection"].in_atomic_block:
            self.commits += count
        return execute(sql, params, many, context)


class Table:
    """Rows of the printed table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []
        self._counter = StatementCounter()
        connection.close()
        connection.ensure_connection()

    @contextmanager
    def row(self, label: str, per: int = 1) -> Iterator[None]:
        """Add a row with the numbers of the block, divided by `per`."""
        before = self._counter.statements, self._commits()
        yield
        after = self._counter.statements, self._commits()
        statements, commits = (b - a for a, b in zip(before, after, strict=True))
        if connection.vendor == "postgresql":
            statements -= OWN_STATEMENTS
        self.rows.append((label, statements / per, commits / per))

    def _commits(self) -> int:
        return postgresql_commits() if connection.vendor == "postgresql" else self._counter.commits


OWN_STATEMENTS = 3
"""Statements of `postgresql_commits` itself."""


def postgresql_commits() -> int:
    """Return PostgreSQL's number of commits in this database, including those of reads.

    MariaDB has this number for the whole server only, so the client counts its commits.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def measure() -> list[tuple[str, float, float]]:
    """Return rows of label, statements and commits."""
    from tests.tasks import add  # noqa: PLC0415  # needs the app registry

    table = Table()
    with table.row(f"enqueue {JOBS:,}, one by one"):
        for number in range(JOBS):
            add.enqueue(number)
    with table.row(f"drain {JOBS:,}: claim and finish"):
        drain()
    with table.row(f"enqueue_many {JOBS:,}"):
        add.enqueue_many([((number,), {}) for number in range(JOBS)])
    with table.row(f"drain {JOBS:,}: claim and finish"):
        drain()
    measure_processes(table)
    engine, thread = start_worker()
    threading.Event().wait(WARM_UP_SECONDS)
    with table.row("an idle worker, per second", per=IDLE_SECONDS):
        threading.Event().wait(IDLE_SECONDS)
    engine.stop()
    thread.join()
    return table.rows


def measure_processes(table: Table) -> None:
    """Add rows for jobs that running processes get: those of a worker, and those of a fleet."""
    from benchmarks.fleet_in_threads import FleetInThreads  # noqa: PLC0415

    engine, thread = start_worker(threads=PROCESSES)
    run_by_worker(engine, JOBS)  # so that it knows how long they take
    with table.row(f"a worker with {PROCESSES} slots: enqueue_many and run {MANY_JOBS:,}"):
        run_by_worker(engine, MANY_JOBS)
    engine.stop()
    thread.join()
    fleet = FleetInThreads(PROCESSES)
    run_by_fleet(fleet, JOBS)
    with table.row(f"a fleet of {PROCESSES} processes: enqueue_many and run {MANY_JOBS:,}"):
        run_by_fleet(fleet, MANY_JOBS)
    fleet.stop()


def run_by_worker(engine: Engine, count: int) -> None:
    """Enqueue jobs, and wait without a statement until a running worker has finished them."""
    from tests.tasks import add  # noqa: PLC0415  # needs the app registry

    finished: list[object] = []
    pause = threading.Event()

    def note(task_result: object, **_: Any) -> None:
        finished.append(task_result)

    task_finished.connect(note)
    add.enqueue_many([((number,), {}) for number in range(count)])
    while len(finished) < count or engine.pool.held_jobs() or engine.completer:
        pause.wait(0.001)
    task_finished.disconnect(note)


def run_by_fleet(fleet: FleetInThreads, count: int) -> None:
    """Enqueue jobs, and let a running fleet run them."""
    from offload import JobState  # noqa: PLC0415  # needs the app registry
    from offload.backends.messages import JobMessage  # noqa: PLC0415
    from offload.models import Job  # noqa: PLC0415
    from offload.store import get_store  # noqa: PLC0415
    from tests.tasks import add  # noqa: PLC0415

    add.enqueue_many([((number,), {}) for number in range(count)])
    key = get_store("default").key
    # Again, as processes that are slow leave jobs to others by messages, of which there are none.
    while ready := list(Job.objects.filter(state=JobState.READY).values_list("pk", flat=True)):
        fleet.run(
            JobMessage("default", is_async=False, priority=0, id=key(pk), may_wait=True)
            for pk in ready
        )


def drain() -> None:
    """Run all jobs."""
    _, thread = start_worker(drain=True)
    thread.join()


def start_worker(
    *, drain: bool = False, threads: int | None = None
) -> tuple[Engine, threading.Thread]:
    """Start a worker in a thread, which runs its jobs in threads of this process."""
    from offload.worker.config import WorkerConfig, make_engine  # noqa: PLC0415

    backend: Any = default_task_backend
    options = replace(backend.settings, processes=0)
    if threads is not None:
        options = replace(options, threads=threads)
    engine = make_engine(WorkerConfig(options=options, drain=drain))
    thread = threading.Thread(target=engine.run)
    thread.start()
    return engine, thread


def run(database: str) -> None:
    """Measure on one database, in this process."""
    django.setup()
    old = setup_databases(verbosity=0, interactive=False)
    try:
        for label, statements, commits in measure():
            print(f"| {database} | {label} | {statements:,.1f} | {commits:,.1f} |")
    finally:
        connections.close_all()
        teardown_databases(old, verbosity=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--here", action="store_true", help="measure one database in this process")
    options = parser.parse_args()
    if options.here:
        run(options.databases[0])
        return
    print("| database | what | statements | commits |")
    print("| --- | --- | --- | --- |", flush=True)
    for database in options.databases:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "OFFLOAD_TEST_DATABASE": database,
            "OFFLOAD_TEST_RUN": "statements",
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([sys.executable, __file__, database, "--here"], env=environment, check=True)


if __name__ == "__main__":
    main()
