"""The store on MariaDB and MySQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from offload.store.base import Store
from offload.store.exchange import seconds_until
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    FinishedJob,
    ProgressUpdates,
)
from offload.store.session import LOCK_TIMEOUT_SECONDS, MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

AT_A_TIME = 100
"""Jobs that one statement finishes: for each it walks along all their return values."""


class MySQLStore(Store):
    """The verbs as MariaDB and MySQL have them."""

    dialect = "mysql"

    def _prepare_transaction(self, *, waits: bool) -> None:
        if not waits:
            return
        with self.connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [LOCK_TIMEOUT_SECONDS])

    def _write_outcomes(self, finished: Sequence[FinishedJob]) -> set[ClaimKey]:
        """Lock the rows that are still ours, then write at once what ended alike.

        There is no UPDATE ... RETURNING that would tell which rows were still ours.
        """
        accepted: set[ClaimKey] = set()
        with self.connection.cursor() as cursor:
            for start in range(0, len(finished), AT_A_TIME):
                some = finished[start : start + AT_A_TIME]
                cursor.execute(
                    statement("mysql", "held_still"), {"ids": [job.id for job, _ in some]}
                )
                mine = {(str(pk), run) for pk, run in cursor.fetchall()}
                mine.intersection_update(job.key for job, _ in some)
                accepted |= mine
                alike: dict[tuple[Any, ...], list[FinishedJob]] = defaultdict(list)
                for job, outcome in some:
                    if job.key in mine:
                        kind = (outcome.state, outcome.delay, outcome.counts, outcome.worker_lost)
                        alike[kind].append((job, outcome))
                for pairs in alike.values():
                    cursor.execute(*_finishing(pairs))
        return accepted

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        mine = set(finished)
        with self.connection.cursor() as cursor:
            ids = [key[0] for key, _ in progress if key not in finished]
            if ids:
                cursor.execute(statement("mysql", "held_free"), {"ids": ids})
                mine |= {(str(pk), run) for pk, run in cursor.fetchall()}
            moved = [pair for pair in progress if pair[0] in mine]
            if moved:
                cases, parameters = _by_id("progress", ((key[0], text) for key, text in moved))
                sql = statement("mysql", "progress").replace("{progress}", cases)
                cursor.execute(sql, {"ids": [key[0] for key, _ in moved], **parameters})
        return {key for key, _ in moved}

    def ready_queues(self, backend: str) -> list[str]:
        """Step from queue to queue, one statement each.

        Compared with another column instead of a value, a queue's name opens no range of the
        index here: the one statement of the others would read all ready rows for each queue.
        """
        names: list[str] = []
        with self.connection.cursor() as cursor:
            while True:
                parameters = {"backend": backend, "after": names[-1] if names else ""}
                cursor.execute(statement("mysql", "next_ready_queue"), parameters)
                (name,) = cursor.fetchone()
                if name is None:
                    return names
                names.append(name)

    def poll(self, backend: str) -> tuple[list[str], float | None]:
        sql = statement("mysql", "poll")
        with self.connection.cursor() as cursor:
            cursor.execute(sql, {"backend": backend})
            first, left = cursor.fetchone()
        return self.ready_queues(backend) if first else [], seconds_until(left)

    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        now = 0
        with self.connection.cursor() as cursor:
            for is_async, count in request.by_kind():
                found: list[ClaimedJob] = []
                for queue in sorted(request.queues) if count > 0 else ():
                    rows = _ready(
                        cursor, request, queue, is_async=is_async, limit=request.per_queue(count)
                    )
                    for row in rows:
                        found.append(ClaimedJob(str(row[0]), *row[1:-1]))
                        now = row[-1]
                claimed += sorted(found, key=ClaimedJob.urgency)[:count]
            if claimed:
                parameters: dict[str, Any] = {
                    "worker": worker,
                    "now": now,
                    "ids": [job.id for job in claimed],
                }
                cursor.execute(statement("mysql", "mark_claimed"), parameters)
        claimed.sort(key=ClaimedJob.urgency)
        return [
            job._replace(
                fence=job.fence + 1,
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
            cursor.execute(statement("mysql", "due"), {"limit": MAX_ROWS_PER_STATEMENT})
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


def _ready(
    cursor: CursorWrapper, request: ClaimRequest, queue: str, *, is_async: bool, limit: int
) -> list[tuple[Any, ...]]:
    """Lock the most urgent ready jobs of one queue and kind; return them and the time."""
    parameters: dict[str, Any] = {
        "backend": request.backend,
        "queue": queue,
        "is_async": is_async,
        "limit": limit,
    }
    if not request.watermarks:
        cursor.execute(statement("mysql", "claim").replace("{above}", ""), parameters)
        return list(cursor.fetchall())
    above = statement("mysql", "above")
    claim, waiting = (
        statement("mysql", name).replace("{above}", above) for name in ("claim", "waiting")
    )
    rows: list[tuple[Any, ...]] = []
    for floor in request.watermarks:
        if (floor.queue_name, floor.is_async) == (queue, is_async) and len(rows) < limit:
            parameters |= {**floor._asdict(), "limit": limit - len(rows)}
            cursor.execute(waiting, parameters)
            (parameters["limit"],) = cursor.fetchone()
            if parameters["limit"]:
                cursor.execute(claim, parameters)
                rows += cursor.fetchall()
    return rows


def _finishing(pairs: Sequence[FinishedJob]) -> tuple[str, dict[str, Any]]:
    """Return the statement that finishes jobs which ended alike, and its parameters."""
    _, outcome = pairs[0]
    parameters: dict[str, Any] = {
        "ids": [job.id for job, _ in pairs],
        "state": int(outcome.state),
        "delay": int(outcome.delay * 1_000_000),
        "discount": 0 if outcome.counts else 1,
        "loss": 1 if outcome.worker_lost else 0,
    }
    values = ((job.id, outcome.return_value) for job, outcome in pairs)
    cases, named = _by_id("return_value", values)
    return statement("mysql", "finish").replace("{return_values}", cases), parameters | named


def _by_id(name: str, values: Iterable[tuple[str, str | None]]) -> tuple[str, dict[str, Any]]:
    """Return the cases of a CASE that finds the value of each job, and their parameters."""
    cases = []
    parameters: dict[str, Any] = {}
    for index, (identifier, value) in enumerate(values):
        cases.append(f"WHEN %(id{index})s THEN %({name}{index})s")
        parameters |= {f"id{index}": identifier, f"{name}{index}": value}
    return " ".join(cases), parameters
