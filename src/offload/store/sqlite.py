"""The store on SQLite: one host, one writer at a time, and a clock shared with it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from sqlite3 import Connection, Cursor, ProgrammingError
from typing import Any, Self
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Value

from offload.lifecycle import WAITING, JobState
from offload.models import Job
from offload.notifier import is_in_memory
from offload.store.base import Store
from offload.store.errors import is_sqlite_lock
from offload.store.limit_records import LimitedRequest
from offload.store.queue_records import QueueCaps
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    ExtraColumns,
    FinishedJob,
    NewJob,
    ProgressUpdates,
    UniqueCall,
    UniqueTerms,
)
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.statements import finish_statement, statement
from offload.store.unique_jobs import unique_row
from offload.timestamps import now_microseconds, to_datetime

_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%s")


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
        limited: LimitedRequest | None = None,
    ) -> ExchangeResult:
        if finished or request or limited:
            return super().exchange(worker, finished, request, progress, limited)
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

    def _write_outcomes(
        self, finished: Sequence[FinishedJob], extra: ExtraColumns
    ) -> dict[ClaimKey, int]:
        now = now_microseconds()
        finish, end = (finish_statement("sqlite", extra, name) for name in ("finish", "end"))
        state_sql = statement("sqlite", "state")
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
                is_end = outcome.state > JobState.RUNNING
                is_plain = is_end and outcome.counts and not outcome.worker_lost
                if connection.execute(end if is_plain else finish, values).rowcount:
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
            # All rows: unread ones make COMMIT fail.
            if request.caps is None:
                rows = self._execute("claim", parameters).fetchall()
            else:
                rows = self._claim_within_limits(request, request.caps, parameters)
            claimed += [ClaimedJob(*row) for row in rows]
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def _claim_ids(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        parameters = {
            "worker": worker,
            "backend": request.backend,
            "ids": json.dumps(list(request.ids or ())),
            "now": now_microseconds(),
        }
        rows = self._execute("claim_ids", parameters).fetchall()
        return sorted((ClaimedJob(*row) for row in rows), key=ClaimedJob.urgency)

    def _claim_within_limits(
        self, request: ClaimRequest, caps: QueueCaps, parameters: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Claim jobs of one kind, each queue's by a SELECT: no LIMIT can depend on the queue.

        One statement could not have a SELECT for each: SQLite allows 500 in one.
        """
        found: list[tuple[Any, ...]] = []
        for queue in request.queues:
            limit = caps.limit(queue, parameters["per_queue"], is_async=parameters["is_async"])
            if limit > 0:
                where = {**parameters, "queue": queue, "limit": limit}
                found += self._execute("ready_of_queue", where).fetchall()
        most_urgent = sorted(found)[: parameters["count"]]
        if not most_urgent:
            return []
        ids = json.dumps([job for *_, job in most_urgent])
        return self._execute(
            "claim_ids", {**parameters, "ids": ids, "now": caps.now or parameters["now"]}
        ).fetchall()

    def insert_unique_rows(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms
    ) -> set[str]:
        inserted = set()
        with self.connection.cursor() as cursor:
            for call in calls:
                cursor.execute(statement("sqlite", "insert_unique"), unique_row(job, call, terms))
                if cursor.rowcount:
                    inserted.add(call.id)
        return inserted

    def promote(self) -> int:
        parameters = {"now": now_microseconds(), "limit": MAX_ROWS_PER_STATEMENT}
        with transaction.atomic(self.using):
            rows = self._execute("promote", parameters).fetchall()
            self.add_notices(dict.fromkeys(key for (key,) in rows if key is not None))
        return len(rows)

    def _execute(self, name: str, parameters: Mapping[str, Any]) -> Cursor:
        with self._raw() as connection:
            return connection.execute(statement("sqlite", name), parameters)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._raw() as connection, closing(_RawCursor(connection)) as cursor:
            yield cursor

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

    def _fetch_unlogged(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            return list(cursor.execute(statement("sqlite", name), parameters))

    def prepare_read_before_insert(self) -> None:
        """Take the write lock, in a transaction: see `_prepare_transaction`."""
        if self.connection.in_atomic_block:
            self._prepare_transaction(waits=True)

    def now(self, *, after: float = 0.0) -> Any:
        moment = to_datetime(now_microseconds() + int(after * 1_000_000))
        return Value(moment, output_field=Job._meta.get_field("run_after"))

    def current_time(self) -> int:
        return now_microseconds()

    def key(self, value: Any) -> str:
        return value.hex if isinstance(value, UUID) else str(value)


class _RawCursor(Cursor):
    """The driver's cursor for statements with the placeholders of Django's."""

    def execute(self, sql: str, parameters: Any = ()) -> Self:
        return super().execute(_with_native_placeholders(sql), parameters)


@cache
def _with_native_placeholders(sql: str) -> str:
    return _PLACEHOLDER.sub(lambda found: f":{found[1]}" if found[1] else "?", sql)
