"""One run: a contender with a broker, for two minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from comparison.stores.postgresql import PostgreSQL
from kill_runs import ledger
from kill_runs.brokers import Broker
from kill_runs.contenders import Contender
from kill_runs.supervised import Supervised
from kill_runs.verdict import Verdict, judge

SECONDS = 120
KILLS = 20
RESTART_AT = 42
EMPTY_AT = 81.0
"""A second after jobs were enqueued, so that some wait."""
BURST_SECONDS = 5
BURST_JOBS = 40
SILENCE = 45
"""Seconds without a start or an end after which a run is over."""
MAX_SETTLE_SECONDS = 180
MIN_SECONDS_BETWEEN = 3.0
"""Seconds between two events, where one came late because the worker had to start."""
MAX_START_SECONDS = 60
MAX_SENDING_SECONDS = 120
"""Seconds that the calls may take longer than planned."""
HERE = Path(__file__).resolve().parents[1]


class KillRun:
    """Lets a contender run jobs while its processes are killed.

    Args:
        contender: runs the jobs.
        broker: of its own.
        folder: for the ledger and for logs.
    """

    def __init__(self, contender: Contender, broker: Broker, folder: Path) -> None:
        self._contender = contender
        self._broker = broker
        self._folder = folder
        self._ledger = folder / "ledger"
        self._server = PostgreSQL()
        self._database = f"offload_kills_{os.getpid()}_{broker.name.lower()}"
        self._environment = {
            **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
            **self._server.environment(),
            "BENCH_DATABASE": self._database,
            "BENCH_URL": broker.url,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "src")]),
            "PYTHONUNBUFFERED": "1",
            ledger.ENVIRONMENT: str(self._ledger),
            **contender.environment,
        }
        self._supervised: list[Supervised] = []

    def run(self) -> tuple[Verdict, int]:
        """Return what the ledger says, and how many of the missing jobs are stuck."""
        self._broker.start()
        try:
            if self._contender.uses_database:
                self._create_database()
            commands = [self._contender.worker, *self._contender.others]
            self._supervised = [
                Supervised(command, self._environment, self._folder / f"log{number}")
                for number, command in enumerate(commands)
            ]
            self._wait_until_ready()
            self._go_through_events()
            self._settle()
            verdict = judge(ledger.read(self._ledger))
            return verdict, min(verdict.missing, self._count_unfinished())
        finally:
            self._close()

    def _go_through_events(self) -> None:
        arguments = [self._contender.sender, SECONDS // BURST_SECONDS, BURST_JOBS, BURST_SECONDS]
        command = [sys.executable, "-m", "kill_runs.sender", *map(str, arguments)]
        started_at = time.monotonic()
        with (self._folder / "sender").open("wb") as output:
            sender = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        try:
            next_at = started_at
            for at, event in self._events():
                while time.monotonic() < max(started_at + at, next_at):
                    self._pause()
                event()
                next_at = time.monotonic() + MIN_SECONDS_BETWEEN
            sender.wait(MAX_SENDING_SECONDS)
        finally:
            sender.kill()
            sender.wait()

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + MAX_START_SECONDS
        log = self._folder / "log0"
        while " ready." not in log.read_text(errors="replace") and time.monotonic() < give_up_at:
            self._pause()

    def _events(self) -> list[tuple[float, Callable[[], None]]]:
        events: list[tuple[float, Callable[[], None]]] = [
            (RESTART_AT, self._restart_broker),
            (EMPTY_AT, lambda: self._broker.empty(self._contender.queue)),
        ]
        for number in range(1, KILLS + 1):
            kill = self._kill_worker if number % 5 == 0 else self._kill_process
            events.append((number * SECONDS / (KILLS + 1), kill))
        return sorted(events, key=lambda event: event[0])

    def _restart_broker(self) -> None:
        self._broker.stop()
        self._broker.start()

    def _kill_process(self) -> None:
        """Kill a process that runs a job: while Celery starts, a death would end the worker."""
        give_up_at = time.monotonic() + MAX_START_SECONDS
        while time.monotonic() < give_up_at:
            busy = self._busy()
            if busy:
                self._note("kill", busy[-1])
                with suppress(ProcessLookupError):
                    os.kill(busy[-1], signal.SIGKILL)
                return
            self._pause()

    def _kill_worker(self) -> None:
        """Kill a worker with all its processes; it counts as one kill."""
        for pid in self._supervised[0].children():
            self._note("kill", pid)
        self._supervised[0].kill()

    def _note(self, event: str, pid: int) -> None:
        with self._ledger.open("a") as file:
            file.write(f"{event} 0 {pid} {time.monotonic():.6f}\n")

    def _busy(self) -> list[int]:
        """Return the living processes that run a job, the last one that started one at the end."""
        busy: dict[int, None] = {}
        for entry in ledger.read(self._ledger):
            busy.pop(entry.pid, None)
            if entry.event == "start":
                busy[entry.pid] = None
        return [pid for pid in busy if pid in self._supervised[0].children()]

    def _settle(self) -> None:
        """Wait until all jobs have ended, or nothing has happened for long."""
        give_up_at = time.monotonic() + MAX_SETTLE_SECONDS
        count, changed_at = 0, time.monotonic()
        while time.monotonic() < min(give_up_at, changed_at + SILENCE):
            entries = ledger.read(self._ledger)
            if len(entries) != count:
                count, changed_at = len(entries), time.monotonic()
            if not judge(entries).missing and time.monotonic() > changed_at + BURST_SECONDS:
                return
            self._pause()

    def _pause(self) -> None:
        for supervised in self._supervised:
            supervised.keep_alive()
        time.sleep(0.05)  # noqa: TID251

    def _count_unfinished(self) -> int:
        """Return how many jobs are not lost, as their row or message is still there."""
        if not self._contender.uses_database:
            return self._broker.count(self._contender.queue)
        with psycopg.connect(self._server.dsn(self._database)) as connection:
            query = "SELECT count(*) FROM offload_job WHERE finished_at IS NULL"
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

    def _create_database(self) -> None:
        self._execute("CREATE DATABASE")
        command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
        subprocess.run(command, env=self._environment, check=True)

    def _execute(self, command: str, options: str = "") -> None:
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"{command} {self._database} {options}".encode())

    def _close(self) -> None:
        for supervised in self._supervised:
            supervised.stop()
        self._broker.close()
        if self._contender.uses_database:
            self._execute("DROP DATABASE IF EXISTS", "WITH (FORCE)")
