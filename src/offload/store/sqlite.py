"""The store on SQLite: one host, one writer at a time, and a clock shared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from sqlite3 import Cursor
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Value

from offload.models import Job
from offload.moments import now_microseconds, to_datetime
from offload.store.base import AT_ONCE, Store
from offload.store.records import ClaimedJob, Ended, Key, NewJob, Room
from offload.store.statements import statement


class SQLiteStore(Store):
    """The verbs as SQLite has them."""

    dialect = "sqlite"
    clock = "%(now)s"  # SQLite's own stops at milliseconds: this host's is a parameter.

    @property
    def address(self) -> str:
        return str(Path(self.connection.settings_dict["NAME"]).absolute())

    def insert_many(self, jobs: Sequence[NewJob]) -> None:
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement("sqlite", "insert"), jobs)

    def _finish(self, ended: Sequence[Ended]) -> set[Key]:
        now = now_microseconds()
        accepted = set()
        for job, outcome in ended:
            parameters = {
                "id": job.id,
                "run": job.run,
                "state": int(outcome.state),
                "delay": int(outcome.delay * 1_000_000),
                "discount": 0 if outcome.counts else 1,
                "loss": 1 if outcome.lost else 0,
                "return_value": outcome.return_value,
                "now": now,
            }
            if self._run("finish", parameters).rowcount:
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
        """Execute without Django's cursor, whose per-statement work would double the cost."""
        connection = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            cursor: Cursor = connection.connection.execute(statement("sqlite", name), parameters)
            return cursor

    def now(self, *, after: float = 0.0) -> Any:
        moment = to_datetime(now_microseconds() + int(after * 1_000_000))
        return Value(moment, output_field=Job._meta.get_field("run_after"))

    def key(self, value: Any) -> str:
        return value.hex if isinstance(value, UUID) else str(value)
