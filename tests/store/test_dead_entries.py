"""Pages that a claim reads while a transaction elsewhere keeps the entries of claimed jobs.

PostgreSQL and MariaDB count pages. (MariaDB's `Handler_read%` counters count only rows that were
returned, not the entries of removed rows that were passed over.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction

from offload import Concurrency, task
from offload.lifecycle import JobState, succeeded
from offload.models import Limit, LimitKey, LimitNotice
from offload.store import get_store
from offload.store.base import Store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob, Watermark
from offload.timestamps import FIRST_MOMENT
from offload.uuid7 import FIRST_ID, new_id
from tests.jobs import NO_CLAIM, register_worker
from tests.store.test_query_plans import analyze, empty, fill

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite keeps no dead entries"),
]
CLAIMED = 20_000
REQUEST = ClaimRequest("default", ("default",), 10)
LIMITED = LimitedRequest("default", (), (), 100, 0)
STARTED = 5_000
SNAPSHOT = {
    "postgresql": ["BEGIN ISOLATION LEVEL REPEATABLE READ"],
    "mysql": [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    ],
}


@task(concurrency=Concurrency(100))
def hundred() -> None:
    """At most a hundred at once."""


@pytest.fixture(autouse=True)
def new_table(transactional_db: None) -> None:
    """Start without the dead entries of other tests, which InnoDB removes some time later."""
    empty()


@contextmanager
def transaction_held_open(*, has_written: bool) -> Iterator[None]:
    """Keep a snapshot of the jobs as they are now, as a long report or import does."""
    holder = connection.copy()
    try:
        cursor = holder.cursor()
        for sql in (*SNAPSHOT[connection.vendor], "SELECT id FROM offload_job LIMIT 1"):
            cursor.execute(sql)
        cursor.fetchall()
        if has_written:
            cursor.execute("UPDATE offload_worker SET pid = 2")
        yield
    finally:
        holder.close()


def pages(store: Store, worker: str, request: ClaimRequest) -> int:
    """Return how many pages a claim reads, and roll it back."""
    read: list[int] = []
    is_mysql = connection.vendor == "mysql"
    explain = "ANALYZE FORMAT=JSON" if is_mysql else "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SKIP LOCKED" in sql or "AS available" in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"{explain} {sql}", params)
                (plan,) = cursor.fetchone()
            read.append(_pages(json.loads(plan) if isinstance(plan, str) else plan))
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(count):
        store.exchange(worker, [], request)
        transaction.set_rollback(True)
    return sum(read)


def _pages(plan: Any) -> int:
    if connection.vendor == "postgresql":
        root = plan[0]["Plan"]
        return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])
    if not list(_find("r_engine_stats", plan)):
        pytest.skip("this server does not count pages")
    return sum(_find("pages_accessed", plan))


def _find(name: str, plan: Any) -> Iterator[Any]:
    """Yield all values of a key in a nested plan."""
    if isinstance(plan, dict):
        if name in plan:
            yield plan[name]
        for part in plan.values():
            yield from _find(name, part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _find(name, part)


def claim(store: Store, worker: str) -> ClaimedJob:
    """Claim the jobs that are to leave dead entries; return the last one."""
    last = None
    for _ in range(CLAIMED // 1000):
        last = store.exchange(worker, [], replace(REQUEST, sync_slots=1000)).claimed[-1]
    assert last
    return last


@pytest.mark.parametrize("has_written", [False, True])
def test_a_claim_above_its_watermark_reads_no_entries_of_earlier_jobs(has_written: bool) -> None:
    store = get_store("default")
    worker = register_worker(lease=1000)
    fill(CLAIMED + 1000, JobState.READY)
    analyze()
    with transaction_held_open(has_written=has_written):
        before = pages(store, worker, REQUEST)
        last = claim(store, worker)
        watermark = Watermark("default", False, last.priority, last.run_after, last.id)
        sweep = pages(store, worker, REQUEST)
        above = pages(store, worker, replace(REQUEST, watermarks=[watermark]))
        empty_queues = []
        for name in ("a queue before", "mail"):
            elsewhere = watermark._replace(queue_name=name)
            request = ClaimRequest("default", (name,), 10, watermarks=[elsewhere])
            empty_queues.append(pages(store, worker, request))
    assert above - before < (sweep - before) / 5
    assert max(empty_queues) < sweep / 20


def test_without_dead_entries_a_watermark_costs_little() -> None:
    store = get_store("default")
    worker = register_worker(lease=1000)
    fill(2000, JobState.READY)
    analyze()
    lowest = Watermark("default", False, 0, 0, store.key(new_id()))
    above = pages(store, worker, replace(REQUEST, watermarks=[lowest]))
    assert above < 4 * pages(store, worker, REQUEST)  # MariaDB counts first


def pages_of_limits(store: Store, worker: str, finished: list[FinishedJob]) -> int:
    """Return how many pages an exchange reads for jobs with a limit, and roll it back."""
    read: list[int] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "limit_slot" in sql and "UPDATE offload_job AS job" not in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute("SAVEPOINT explained")
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
                (plan,) = cursor.fetchone()
                cursor.execute("ROLLBACK TO explained")
            read.append(_pages(plan))
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(count):
        store.exchange(worker, finished, NO_CLAIM, limited=LIMITED)
        transaction.set_rollback(True)
    return sum(read)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL passes over entries")
def test_a_claim_of_a_limited_key_reads_no_rows_of_earlier_jobs() -> None:
    for model in (Limit, LimitKey, LimitNotice):
        model.objects.all().delete()
    store = get_store("default")
    worker = register_worker(lease=1000)
    hundred.enqueue_many([((), {})] * (STARTED + 300))
    analyze()
    with transaction_held_open(has_written=False):
        finished: list[FinishedJob] = []
        read = []
        for number in range(STARTED // 100 + 1):
            if number in {1, STARTED // 100}:
                read.append(pages_of_limits(store, worker, finished))
            claimed = store.exchange(worker, finished, NO_CLAIM, limited=LIMITED).claimed
            assert len(claimed) == 100
            finished = [(job, succeeded("null")) for job in claimed]
        LimitKey.objects.update(
            held_from=FIRST_MOMENT,
            held_from_id=FIRST_ID,
            line_from=FIRST_MOMENT,
            line_from_id=FIRST_ID,
        )
        from_the_start = pages_of_limits(store, worker, finished)

    assert read[1] - read[0] < (from_the_start - read[0]) / 3, (read, from_the_start)
