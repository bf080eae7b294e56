"""The store on SQLite: one host, one writer at a time, and a clock shared with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection, Cursor, ProgrammingError
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError
from django.db.models import Value

from offload.lifecycle import WAITING
from offload.models import Job
from offload.notifier import is_in_memory
from offload.store.base import Store
from offload.store.errors import is_sqlite_lock
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    FinishedJob,
    ProgressUpdates,
)
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime


class SQLiteStore(Store):
    """The store's operations in SQLite's SQL."""

    dialect = "sqlite"
    keeps_dead_entries = False  # readers of older pages find them in the WAL

    @property
    def address(self) -> str:
        return str(Path(self.connection.settings_dict["NAME"]).absolute())

    def dedicate_connection(self) -> None:
        connection = self.connection
        options = {"transaction_mode": "IMMEDIATE"} | connection.settings_dict["OPTIONS"]
        connection.close()
        # A copy: the connections of other threads share the old settings.
        connection.settings_dict = connection.settings_dict | {"OPTIONS": options}

    def enable_concurrency(self) -> str:
        if not self._may_choose_journal() or self._journal_mode() in {None, "wal"}:
            return ""
        name = f"SQLite in DATABASES[{self.using!r}]"
        mode = self._journal_mode("wal")
        if mode == "wal":
            return f"{name} now uses a write-ahead log: readers and one writer work at once."
        return (
            f"{name} cannot switch to a write-ahead log (journal_mode={mode or 'unknown'}): "
            "readers and writers wait for each other."
        )

    def _may_choose_journal(self) -> bool:
        """Return whether the project leaves the journal mode to us."""
        settings = self.connection.settings_dict
        is_chosen = "journal_mode" in str(settings["OPTIONS"].get("init_command", "")).lower()
        is_file = not is_in_memory(str(settings["NAME"]))
        return is_file and not is_chosen and not self.connection.in_atomic_block

    def _journal_mode(self, mode: str = "") -> str | None:
        """Return the journal mode, after changing it if one is given; None if that failed."""
        sql = f"PRAGMA journal_mode = {mode}" if mode else "PRAGMA journal_mode"
        with suppress(DatabaseError), self.connection.cursor() as cursor:
            (mode,) = cursor.execute(sql).fetchone()
            return mode
        return None

    def exchange(
        self,
        worker: str,
        finished: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
    ) -> ExchangeResult:
        if finished or request:
            return super().exchange(worker, finished, request, progress)
        # A task that reports progress may itself hold the only write lock, for long.
        with self._without_lock_timeout():
            try:
                return super().exchange(worker, finished, request, progress)
            except OperationalError as error:
                if not is_sqlite_lock(error):
                    raise
                return ExchangeResult()

    def _prepare_transaction(self, *, waits: bool) -> None:
        """Take the write lock, waiting for it up to the busy timeout.

        Django starts transactions as DEFERRED by default: one that reads first and writes later
        fails without waiting if another connection has written meanwhile.
        """
        if waits:
            with self._raw() as connection:
                connection.execute("UPDATE offload_worker SET pid = pid WHERE FALSE")

    def _write_outcomes(self, finished: Sequence[FinishedJob]) -> dict[ClaimKey, int]:
        now = now_microseconds()
        sql, state_sql = statement("sqlite", "finish"), statement("sqlite", "state")
        written: dict[ClaimKey, int] = {}
        with self._raw() as connection:
            for job, outcome in finished:
                values = (
                    *job.key,
                    outcome.state,
                    int(outcome.delay * 1_000_000),
                    not outcome.counts,
                    outcome.worker_lost,
                    outcome.return_value,
                    now,
                )
                if connection.execute(sql, values).rowcount:
                    written[job.key] = outcome.state
                    if outcome.state in WAITING:  # unless its cancellation was requested
                        (written[job.key],) = connection.execute(state_sql, [job.id]).fetchone()
        return written

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        sql = statement("sqlite", "progress")
        written = set()
        with self._raw() as connection:
            for key, text in progress:
                if connection.execute(sql, (*key, key in finished, text)).rowcount:
                    written.add(key)
        return written

    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        for is_async, count in request.by_kind():
            if count <= 0:
                continue
            parameters = {
                "worker": worker,
                "backend": request.backend,
                "queues": json.dumps(list(request.queues)),
                "is_async": is_async,
                "count": count,
                "per_queue": request.per_queue(count),
                "now": now_microseconds(),
            }
            rows = self._execute("claim", parameters).fetchall()  # unread rows make COMMIT fail
            claimed += [ClaimedJob(*row) for row in rows]
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def promote(self) -> int:
        parameters = {"now": now_microseconds(), "limit": MAX_ROWS_PER_STATEMENT}
        return self._execute("promote", parameters).rowcount

    def _execute(self, name: str, parameters: Mapping[str, Any]) -> Cursor:
        with self._raw() as connection:
            return connection.execute(statement("sqlite", name), parameters)

    @contextmanager
    def _raw(self) -> Iterator[Connection]:
        """Yield the driver's connection: Django's cursor doubles the cost of a statement."""
        connection = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            yield connection.connection

    @contextmanager
    def _without_lock_timeout(self) -> Iterator[None]:
        """Fail at once where a statement would wait for a lock."""
        with self._raw() as connection:
            (busy_timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
            connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            with suppress(ProgrammingError):  # the connection failed and was closed
                connection.execute(f"PRAGMA busy_timeout = {busy_timeout}")

    def now(self, *, after: float = 0.0) -> Any:
        moment = to_datetime(now_microseconds() + int(after * 1_000_000))
        return Value(moment, output_field=Job._meta.get_field("run_after"))

    def key(self, value: Any) -> str:
        return value.hex if isinstance(value, UUID) else str(value)
