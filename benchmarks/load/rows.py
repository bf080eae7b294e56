"""Jobs by the million, each lot made by one statement."""

from __future__ import annotations

import time

from django.db import connection

from load.database import ask
from offload.lifecycle import JobState

DAY = 24 * 3600 * 1_000_000
WORKER = "0198a000-0000-7000-8000-000000000000"
"""The engine that ran what has ended."""
LOT = 1_000_000
"""Rows that one statement inserts at most."""

# A UUIDv7 whose time is that of the row: index entries lie where real ones would.
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
    {id}, {state}, 'default', {queue}, 0, {no}, 'load.tasks.noop', '[[],{{}}]',
    {run_after}, {time}, 1, 3, {ran}, 0, {ran}, {ran_by}, {ran_at}, {ran_at}, {ended_at}, {value}
{numbers}
"""


def queued(count: int, *, queue: str = "default", queues: int = 1) -> None:
    """Add jobs that are ready, in one queue, or in queues named by numbers."""
    name = f"'{queue}'" if queues == 1 else _concat("'queue'", f"n % {queues}")
    _insert(count, JobState.READY, queue=name)


def scheduled(count: int) -> None:
    """Add jobs that are due tomorrow, and at each moment of the day after."""
    _insert(count, JobState.SCHEDULED, run_after=f"{_now() + DAY} + n * {_step(count)}")


def finished(count: int, *, days_ago: float = 5.0) -> None:
    """Add jobs that were successful, one after the other in the day that began so long ago."""
    _insert(count, JobState.SUCCESSFUL, since=_now() - int(days_ago * DAY))


class Progress:
    """How many of the jobs of one lot have been claimed, without counting them.

    Args:
        count: how many there are in the queue "default", none of them claimed yet.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._start = self.first() or 0

    def claimed(self) -> int:
        first = self.first()
        return self._count if first is None else (first - self._start) // _step(self._count)

    def first(self) -> int | None:
        """Return `run_after` of the first job that is ready, None if there is none."""
        found = ask(
            f"SELECT run_after FROM offload_job WHERE state = {int(JobState.READY)} AND "
            "backend = 'default' AND queue_name = 'default' AND NOT is_async "
            "ORDER BY priority DESC, run_after, id LIMIT 1"
        )
        return found[0][0] if found else None


def _insert(
    count: int, state: JobState, *, queue: str = "'default'", run_after: str = "", since: int = 0
) -> None:
    numbers, identifier, no = NUMBERS[connection.vendor]
    start = since or _now() - DAY
    for begun in range(0, count, LOT):
        size = min(LOT, count - begun)
        time_ = f"({start} + ({begun} + n) * {_step(count)})"
        ran = state == JobState.SUCCESSFUL
        ask(
            INSERT.format(
                id=identifier.format(time=time_, salt=f"'{start}{begun}'"),
                state=int(state),
                queue=queue,
                no=no,
                run_after=run_after or time_,
                time=time_,
                ran=int(ran),
                ran_by=_uuid() if ran else "NULL",
                ran_at=time_ if ran else "NULL",
                ended_at=time_ if ran else "NULL",
                value="'null'" if ran else "NULL",
                numbers=numbers.format(count=size),
            )
        )


def _uuid() -> str:
    digits = WORKER.replace("-", "")
    return f"'{digits}'::uuid" if connection.vendor == "postgresql" else f"'{digits}'"


def _concat(first: str, second: str) -> str:
    if connection.vendor == "mysql":
        return f"CONCAT({first}, {second})"
    return f"{first} || ({second})"


def _step(count: int) -> int:
    """Return the microseconds between two jobs of a lot, which spans a day."""
    return max(1, DAY // count)


def _now() -> int:
    return time.time_ns() // 1000
