"""The store on MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from offload.store.base import AT_ONCE, LOCK_TIMEOUT, Store
from offload.store.records import ClaimedJob, Ended, Key, NewJob, Room
from offload.store.statements import statement

PACKET = 100
"""Statements sent in one packet: their answers must fit the connection's buffers."""


class MySQLStore(Store):
    """The verbs as MariaDB and MySQL have them."""

    dialect = "mysql"
    clock = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

    def insert_many(self, jobs: Sequence[NewJob]) -> None:
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement("mysql", "insert"), jobs)

    def _prepare(self, *, waits: bool) -> None:
        if not waits:
            return
        with self.connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [LOCK_TIMEOUT])

    def _finish(self, ended: Sequence[Ended]) -> set[Key]:
        accepted: set[Key] = set()
        for start in range(0, len(ended), PACKET):
            accepted |= self._finish_some(ended[start : start + PACKET])
        return accepted

    def _finish_some(self, ended: Sequence[Ended]) -> set[Key]:
        """Update by primary key, one statement a job, all in one packet."""
        parameters: dict[str, Any] = {}
        statements = []
        for index, (job, outcome) in enumerate(ended):
            parameters |= {
                f"id{index}": job.id,
                f"run{index}": job.run,
                f"state{index}": int(outcome.state),
                f"delay{index}": int(outcome.delay * 1_000_000),
                f"discount{index}": 0 if outcome.counts else 1,
                f"loss{index}": 1 if outcome.lost else 0,
                f"return_value{index}": outcome.return_value,
            }
            statements.append(statement("mysql", "finish").replace(")s", f"{index})s"))
        accepted = set()
        with self.connection.cursor() as cursor:
            cursor.execute(";".join(statements), parameters)
            for job, _ in ended:
                if cursor.rowcount:
                    accepted.add(job.key)
                cursor.nextset()
        return accepted

    def _claim(self, worker: str, room: Room) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        now = 0
        # One statement to find the few queues that have jobs, instead of two for each queue.
        ready = set(self.ready_queues(room.backend)).intersection(room.queues)
        with self.connection.cursor() as cursor:
            for is_async, count in room:
                found: list[ClaimedJob] = []
                for queue in sorted(ready) if count > 0 else ():
                    parameters = {
                        "backend": room.backend,
                        "queue": queue,
                        "is_async": is_async,
                        "room": count,
                    }
                    cursor.execute(statement("mysql", "claim"), parameters)
                    for row in cursor.fetchall():
                        found.append(ClaimedJob(str(row[0]), *row[1:-1]))
                        now = row[-1]
                claimed += sorted(found, key=ClaimedJob.urgency)[:count]
            if claimed:
                parameters = {"worker": worker, "now": now, "ids": [job.id for job in claimed]}
                cursor.execute(statement("mysql", "mark_claimed"), parameters)
        claimed.sort(key=ClaimedJob.urgency)
        return [
            job._replace(
                run=job.run + 1,
                attempt=job.attempt + 1,
                is_async=bool(job.is_async),
                worker=worker,
                started_at=job.started_at or now,
                last_attempted_at=now,
            )
            for job in claimed
        ]

    def promote(self) -> int:
        with transaction.atomic(self.using), self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "due"), {"limit": AT_ONCE})
            ids = [row[0] for row in cursor.fetchall()]
            if ids:
                cursor.execute(statement("mysql", "promote"), {"ids": ids})
            return len(ids)

    def diagnose(self) -> dict[str, str]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "diagnose"))
            return dict(cursor.fetchall())

    def key(self, value: Any) -> str:
        identifier = value if isinstance(value, UUID) else UUID(value)
        native = self.connection.features.has_native_uuid_field
        return str(identifier) if native else identifier.hex
