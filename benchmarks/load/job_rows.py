"""Millions of rows of jobs, inserted by few statements."""

from __future__ import annotations

import time

from django.db import connection

from load.database import query
from offload.lifecycle import JobState

DAY = 24 * 3600 * 1_000_000
WORKER = "0198a000-0000-7000-8000-000000000000"
"""Id of the worker of the finished jobs."""
MAX_INSERTED_ROWS = 1_000_000
"""Rows of one statement."""

# UUIDv7 with the time of the row, so that index entries lie where real ones would.
NUMBERS = {
    "postgresql": (
        "FROM generate_series(1::bigint, {count}) AS n",
        "(lpad(to_hex({time} / 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')"
        " || '8' || substr(md5(n::text || {salt}), 1, 15))::uuid",
        "FALSE",
    ),
    "sqlite": (
        "FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
        " SELECT n FROM s)",
        "printf('%012x7%03x8', {time} / 1000, n % 4096)"
        " || lower(substr(hex(randomblob(8)), 1, 15))",
        "0",
    ),
    "mysql": (
        "FROM (SELECT seq AS n FROM seq_1_to_{count}) AS numbers",
        "CONCAT(LPAD(LOWER(HEX({time} DIV 1000)), 12, '0'), '7', LPAD(HEX(n % 4096), 3, '0'), '8',"
        " SUBSTR(MD5(CONCAT(n, {salt})), 1, 15))",
        "FALSE",
    ),
}
INSERT = """
INSERT INTO offload_job (
    id, state, backend, queue_name, priority, is_async, task_path, arguments, run_after,
    enqueued_at, max_attempts, max_worker_losses, attempt, worker_losses, fence, worker, started_at,
    last_attempted_at, finished_at, return_value
)
SELECT
    {id}, {state}, 'default', {queue}, 0, {false}, 'load.tasks.noop', '[[],{{}}]',
    {run_after}, {time}, 1, 3, {attempt}, 0, {attempt}, {worker}, {ran_at},
    {ran_at}, {ran_at}, {value}
{numbers}
"""


def insert_ready(count: int, *, queue: str = "default", queues: int = 1) -> None:
    """Insert ready jobs, in one queue or in queues with numbers as names."""
    name = f"'{queue}'" if queues == 1 else _concat("'queue'", f"n % {queues}")
    _insert(count, JobState.READY, queue=name)


def insert_scheduled(count: int) -> None:
    """Insert jobs that are due over the day that starts in 24 hours."""
    _insert(count, JobState.SCHEDULED, run_after=f"{_now() + DAY} + n * {_step(count)}")


def insert_finished(count: int, *, days_ago: float = 5.0) -> None:
    """Insert successful jobs, spread over the day that started `days_ago`."""
    _insert(count, JobState.SUCCESSFUL, since=_now() - int(days_ago * DAY))


class ClaimProgress:
    """Computes how many inserted jobs have been claimed, without counting the rows.

    Args:
        count: number of ready jobs in the queue "default".
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._start = self.first() or 0

    def claimed(self) -> int:
        first = self.first()
        return self._count if first is None else (first - self._start) // _step(self._count)

    def first(self) -> int | None:
        """Return `run_after` of the first ready job, or None."""
        rows = query(
            f"SELECT run_after FROM offload_job WHERE state = {int(JobState.READY)} AND "
            "backend = 'default' AND queue_name = 'default' AND NOT is_async "
            "ORDER BY priority DESC, run_after, id LIMIT 1"
        )
        return rows[0][0] if rows else None


def _insert(
    count: int, state: JobState, *, queue: str = "'default'", run_after: str = "", since: int = 0
) -> None:
    numbers, identifier, false = NUMBERS[connection.vendor]
    start = since or _now() - DAY
    is_finished = state == JobState.SUCCESSFUL
    for offset in range(0, count, MAX_INSERTED_ROWS):
        size = min(MAX_INSERTED_ROWS, count - offset)
        time_ = f"({start} + ({offset} + n) * {_step(count)})"
        query(
            INSERT.format(
                id=identifier.format(time=time_, salt=f"'{start}{offset}'"),
                state=int(state),
                queue=queue,
                false=false,
                run_after=run_after or time_,
                time=time_,
                attempt=int(is_finished),
                worker=_worker() if is_finished else "NULL",
                ran_at=time_ if is_finished else "NULL",
                value="'null'" if is_finished else "NULL",
                numbers=numbers.format(count=size),
            )
        )


def _worker() -> str:
    digits = WORKER.replace("-", "")
    return f"'{digits}'::uuid" if connection.vendor == "postgresql" else f"'{digits}'"


def _concat(first: str, second: str) -> str:
    if connection.vendor == "mysql":
        return f"CONCAT({first}, {second})"
    return f"{first} || ({second})"


def _step(count: int) -> int:
    """Return the microseconds between two jobs, which together span a day."""
    return max(1, DAY // count)


def _now() -> int:
    return time.time_ns() // 1000
