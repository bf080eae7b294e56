"""The store on MariaDB and MySQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from offload.lifecycle import WAITING, JobState
from offload.models import Job
from offload.models.exact_text import exact_collation
from offload.store.base import Store
from offload.store.limit_records import WAITS, LimitedRequest, OpenKey
from offload.store.mysql_updates import finish_group, group_by_outcome, progress_updates
from offload.store.poll_results import poll_result
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExtraColumns,
    FinishedJob,
    NewJob,
    PollResult,
    ProgressUpdates,
    UniqueCall,
    UniqueTerms,
    Watermark,
)
from offload.store.session import LOCK_TIMEOUT_SECONDS, MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement
from offload.store.unique_jobs import unique_row
from offload.store.workflow_notices import TakenNotice

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

MAX_JOBS_PER_FINISH = 100
"""Jobs that one statement finishes, at most: its CASE compares each with all their ids."""

_FENCE, _ATTEMPT, _IS_ASYNC, _WORKER, _STARTED_AT, _LAST_ATTEMPTED_AT = map(
    ClaimedJob._fields.index,
    ("fence", "attempt", "is_async", "worker", "started_at", "last_attempted_at"),
)


class MySQLStore(Store):
    """The store's operations in the SQL of MariaDB and MySQL."""

    dialect = "mysql"

    def _prepare_transaction(self, *, waits: bool) -> None:
        if waits:
            with self.connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [LOCK_TIMEOUT_SECONDS])

    def insert_unique_rows(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms
    ) -> set[str]:
        """Look, and insert: the keys are locked, as no index is unique here (see `UniqueLock`)."""
        held = Job.objects.using(self.using).filter(
            unique_key__in=[call.unique_key for call in calls]
        )
        held_keys = set(held.values_list("unique_key", flat=True))
        missing = [call for call in calls if call.unique_key not in held_keys]
        if missing:
            rows = [unique_row(job, call, terms) for call in missing]
            with self.connection.cursor() as cursor:
                cursor.executemany(statement("mysql", "insert_unique"), rows)
        return {call.id for call in missing}

    def lock_keys(self, keys: Sequence[str]) -> None:
        delete = statement("mysql", "delete_unique_locks")
        delete = delete.replace("{collation}", exact_collation(self.connection))
        with self.connection.cursor() as cursor:
            for some in batched(keys, MAX_ROWS_PER_STATEMENT):
                cursor.executemany(statement("mysql", "lock_unique_keys"), [(key,) for key in some])
                cursor.execute(delete, {"keys": json.dumps(some)})

    def _lock_holders(
        self,
        keys: Sequence[str],
        condition: str,
        *,
        exclusively: bool,  # noqa: ARG002  # a shared lock would deadlock when it is raised
    ) -> list[UUID]:
        found = statement("mysql", "find_holders").replace("{condition}", condition)
        ids = self._ids_of(found, {"keys": list(keys)})
        if not ids:
            return []
        # With a single id, MariaDB would keep the lock of a row that does not meet the condition.
        parameters = {"keys": list(keys), "ids": [self.key(pk) for pk in (UUID(int=0), *ids)]}
        lock = statement("mysql", "lock_holders").replace("{condition}", condition)
        return self._ids_of(lock, parameters)

    def _write_outcomes(
        self, finished: Sequence[FinishedJob], extra: ExtraColumns
    ) -> dict[ClaimKey, int]:
        """Lock the rows that are still held, then write equal outcomes in one statement each.

        No UPDATE ... RETURNING exists here that would return the rows that were still held.
        """
        written: dict[ClaimKey, int] = {}
        with self.connection.cursor() as cursor:
            for start in range(0, len(finished), MAX_JOBS_PER_FINISH):
                batch = finished[start : start + MAX_JOBS_PER_FINISH]
                held = _lock_running(cursor, "lock_running", [job.id for job, _ in batch])
                current = [pair for pair in batch if pair[0].key in held]
                for pairs in group_by_outcome(current):
                    cursor.execute(*finish_group(pairs, extra))
                for job, outcome in current:
                    is_cancelled = held[job.key] and outcome.state in WAITING
                    written[job.key] = JobState.CANCELLED if is_cancelled else outcome.state
        return written

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        running = [key[0] for key, _ in progress if key not in finished]
        with self.connection.cursor() as cursor:
            held = {*_lock_running(cursor, "lock_running_skip_locked", running), *finished}
            updates = {key: text for key, text in progress if key in held}
            if updates:
                cursor.execute(*progress_updates(updates))
        return set(updates)

    def ready_queues(self, backend: str) -> list[str]:
        """Step from queue to queue, one statement each.

        The recursive statement of the other databases compares `queue_name` with a column, which
        cannot use an index range here: it would read all ready rows for each queue.
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

    def poll(self, backend: str) -> PollResult:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "poll"), {"backend": backend})
            first_queue, *found = cursor.fetchone()
        queues = [] if first_queue is None else self.ready_queues(backend)
        return poll_result(queues, *found)

    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        now = 0
        with self.connection.cursor() as cursor:
            for is_async, count in request.by_kind():
                rows = _lock_ready(cursor, request, is_async=is_async, count=count)
                if rows:
                    now = rows[-1][-1] if request.caps is None else request.caps.now or rows[-1][-1]
                jobs = [ClaimedJob(str(row[0]), *row[1:-1]) for row in rows]
                jobs.sort(key=ClaimedJob.urgency)
                claimed += jobs[:count]
            return _mark_claimed(cursor, claimed, worker, now)

    def _claim_ids(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        with self.connection.cursor() as cursor:
            ids: Any = list(request.ids or ())
            parameters = {"backend": request.backend, "ids": ids}
            cursor.execute(statement("mysql", "claim_ids"), parameters)
            rows = cursor.fetchall()
            jobs = [ClaimedJob(str(row[0]), *row[1:-1]) for row in rows]
            return _mark_claimed(cursor, jobs, worker, rows[-1][-1] if rows else 0)

    def promote(self) -> int:
        with transaction.atomic(self.using), self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "due"), {"limit": MAX_ROWS_PER_STATEMENT})
            due = dict(cursor.fetchall())
            if due:
                cursor.execute(statement("mysql", "promote"), {"ids": list(due)})
                self.add_notices(dict.fromkeys(key for key in due.values() if key is not None))
            return len(due)

    # --- workflows --------------------------------------------------------------------------

    def take_workflow_notices(self, limit: int) -> list[TakenNotice]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "take_workflow_notices"), {"limit": limit})
            rows = cursor.fetchall()
            if rows:
                ids = json.dumps([number for *_, number in rows])
                cursor.execute(statement("mysql", "delete_workflow_notices"), {"ids": ids})
        return [self.taken_notice(job, told_up_to) for job, told_up_to, _ in rows]

    # --- limits -----------------------------------------------------------------------------

    def _ready_kinds(self, backend: str, names: Sequence[str]) -> list[tuple[str, bool, bool]]:
        """Look into each queue by a statement of its own, for the reason of `ready_queues`."""
        rows = []
        with self.connection.cursor() as cursor:
            for name in names:
                parameters = {"backend": backend, "queue": name}
                cursor.execute(statement("mysql", "ready_kinds"), parameters)
                rows.append((name, *cursor.fetchone()))
        return rows

    def _delete_notices(self, ids: Sequence[int]) -> list[int]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "lock_notices"), {"ids": list(ids)})
            locked = [number for (number,) in cursor.fetchall()]
            if locked:
                cursor.execute(statement("mysql", "delete_notices"), {"ids": json.dumps(locked)})
        return locked

    def _with_waiting_jobs(self, keys: Collection[str]) -> set[str]:
        if not keys:
            return set()
        sql = " UNION ALL ".join([statement("mysql", "lines_with_jobs")] * len(keys))
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [WAITS + key for key in keys])
            return {line.removeprefix(WAITS) for (line,) in cursor.fetchall()}

    def claim_of_keys(
        self,
        worker: str,
        request: LimitedRequest,
        kinds: Sequence[bool],
        counts: Mapping[OpenKey, int],
        now: int,
    ) -> list[ClaimedJob]:
        parameters = self._from_where(request, kinds)
        sql = self._of_queues("claim_limited", request)
        rows: list[tuple[Any, ...]] = []
        with self.connection.cursor() as cursor:
            for key, count in counts.items():
                cursor.execute(sql, {**parameters, "limit_key": key.limit_key, "count": count})
                rows += cursor.fetchall()
            if not rows:
                return []
            marked: dict[str, Any] = {"worker": worker, "now": now, "ids": [row[0] for row in rows]}
            cursor.execute(statement("mysql", "mark_claimed"), marked)
            if not cursor.rowcount:  # the worker has no row
                return []
        return [_as_marked(ClaimedJob(str(row[0]), *row[1:]), worker, now) for row in rows]

    def _of_queues(self, name: str, request: LimitedRequest) -> str:
        """Return a statement with its condition of queues, as an IN cannot be empty here."""
        conditions = []
        if request.queues:
            conditions.append("queue_name IN %(queues)s")
        if request.excluded:
            conditions.append("queue_name NOT IN %(excluded)s")
        return statement("mysql", name).replace("{queues}", " AND ".join(conditions) or "TRUE")

    def _list(self, values: Sequence[Any]) -> Any:
        return list(values)

    def diagnose(self) -> dict[str, str]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("mysql", "diagnose"))
            facts = dict(cursor.fetchall())
            cursor.execute(statement("mysql", "inexact_tables"))
            facts["inexact_tables"] = ", ".join(name for (name,) in cursor.fetchall())
        return facts

    def key(self, value: Any) -> str:
        identifier = value if isinstance(value, UUID) else UUID(value)
        native = self.connection.features.has_native_uuid_field
        return str(identifier) if native else identifier.hex


def _lock_running(cursor: CursorWrapper, name: str, ids: list[str]) -> dict[ClaimKey, bool]:
    """Lock the rows of running jobs; return their claims, and whether each is to be cancelled."""
    if not ids:
        return {}
    cursor.execute(statement("mysql", name), {"ids": ids})
    return {(str(job_id), fence): bool(is_asked) for job_id, fence, is_asked in cursor.fetchall()}


def _lock_ready(
    cursor: CursorWrapper, request: ClaimRequest, *, is_async: bool, count: int
) -> list[tuple[Any, ...]]:
    """Lock the most urgent ready jobs of one kind in each queue; return them and the time."""
    rows: list[tuple[Any, ...]] = []
    if count <= 0:
        return rows
    for queue in sorted(request.queues):
        limit = request.per_queue(count)
        if request.caps is not None:
            limit = request.caps.limit(queue, limit, is_async=is_async)
        if limit <= 0:
            continue
        parameters: dict[str, Any] = {
            "backend": request.backend,
            "queue": queue,
            "is_async": is_async,
            "limit": limit,
        }
        if request.watermarks:
            watermarks = [
                watermark
                for watermark in request.watermarks
                if (watermark.queue_name, watermark.is_async) == (queue, is_async)
            ]
            rows += _lock_ready_above(cursor, watermarks, parameters)
        else:
            cursor.execute(statement("mysql", "claim").replace("{above}", ""), parameters)
            rows += cursor.fetchall()
    return rows


def _lock_ready_above(
    cursor: CursorWrapper, watermarks: Sequence[Watermark], parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """Lock ready jobs of one queue and kind, from one watermark after the other.

    The jobs above each watermark are counted first: see count_above.sql.
    """
    above = statement("mysql", "above")
    count = statement("mysql", "count_above").replace("{above}", above)
    claim = statement("mysql", "claim").replace("{above}", above)
    rows: list[tuple[Any, ...]] = []
    for watermark in watermarks:
        missing = parameters["limit"] - len(rows)
        if missing <= 0:
            break
        position = {**parameters, **watermark._asdict(), "limit": missing}
        cursor.execute(count, position)
        (available,) = cursor.fetchone()
        if available:
            cursor.execute(claim, {**position, "limit": available})
            rows += cursor.fetchall()
    return rows


def _mark_claimed(
    cursor: CursorWrapper, jobs: list[ClaimedJob], worker: str, now: int
) -> list[ClaimedJob]:
    """Mark locked jobs as running at a worker; return them, most urgent first."""
    if not jobs:
        return []
    parameters: dict[str, Any] = {"worker": worker, "now": now, "ids": [job.id for job in jobs]}
    cursor.execute(statement("mysql", "mark_claimed"), parameters)
    if not cursor.rowcount:  # the worker has no row
        return []
    jobs.sort(key=ClaimedJob.urgency)
    return [_as_marked(job, worker, now) for job in jobs]


def _as_marked(job: ClaimedJob, worker: str, now: int) -> ClaimedJob:
    """Return a job as mark_claimed.sql has left its row: `_replace` takes four times as long."""
    values: list[Any] = list(job)
    values[_FENCE] += 1
    values[_ATTEMPT] += 1
    values[_IS_ASYNC] = bool(job.is_async)
    values[_WORKER] = worker
    values[_STARTED_AT] = job.started_at or now
    values[_LAST_ATTEMPTED_AT] = now
    return ClaimedJob._make(values)
