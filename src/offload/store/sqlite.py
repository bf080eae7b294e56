"""The store on SQLite: one host, one writer at a time, and a clock shared with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection, Cursor
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Value

from offload.models import Job
from offload.moments import now_microseconds, to_datetime
from offload.store.base import AT_ONCE, Store
from offload.store.records import Call, ClaimedJob, Ended, Key, NewJob, Room
from offload.store.statements import statement


class SQLiteStore(Store):
    """The verbs as SQLite has them."""

    dialect = "sqlite"
    clock = "%(now)s"  # SQLite's own stops at milliseconds: this host's is a parameter.

    @property
    def address(self) -> str:
        return str(Path(self.connection.settings_dict["NAME"]).absolute())

    def insert_many(self, job: NewJob, calls: Sequence[Call]) -> None:
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "insert"), job.alike(calls))

    def _finish(self, ended: Sequence[Ended]) -> set[Key]:
        now = now_microseconds()
        sql = statement("sqlite", "finish")
        accepted = set()
        with self._raw() as connection:
            for job, outcome in ended:
                state, return_value, delay, counts, lost, _, _ = outcome
                values = (
                    *job.key,
                    state,
                    int(delay * 1_000_000),
                    not counts,
                    lost,
                    return_value,
                    now,
                )
                if connection.execute(sql, values).rowcount:
                    accepted.add(job.key)
        return accepted

    def _claim(self, worker: str, room: Room) -> list[ClaimedJob]:
        claimed = []
        for is_async, count in room:
            if count <= 0:
                continue
            parameters = {
                "worker": worker,
                "backend": room.backend,
                "queues": json.dumps(list(room.queues)),
                "is_async": is_async,
                "room": count,
                "each": room.each(count),
                "now": now_microseconds(),
            }
            # An unread row would keep COMMIT from working.
            claimed += [ClaimedJob(*row) for row in self._run("claim", parameters).fetchall()]
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def promote(self) -> int:
        parameters = {"now": now_microseconds(), "limit": AT_ONCE}
        return self._run("promote", parameters).rowcount

    def _run(self, name: str, parameters: Mapping[str, Any]) -> Cursor:
        with self._raw() as connection:
            return connection.execute(statement("sqlite", name), parameters)

    @contextmanager
    def _raw(self) -> Iterator[Connection]:
        """Yield the driver's connection: Django's cursor would double the cost of a statement."""
        connection = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            yield connection.connection

    def now(self, *, after: float = 0.0) -> Any:
        moment = to_datetime(now_microseconds() + int(after * 1_000_000))
        return Value(moment, output_field=Job._meta.get_field("run_after"))

    def key(self, value: Any) -> str:
        return value.hex if isinstance(value, UUID) else str(value)
