"""The hot statements find their rows through the index that was made for them.

In a small table after ANALYZE, and beside 100,000 finished jobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from offload.lifecycle import JobState, succeeded
from offload.models import Job
from offload.store import get_store
from offload.store.queries import oldest_wait
from offload.store.records import UNKNOWN_VERSION, ClaimRequest, Watermark
from offload.timestamps import to_microseconds
from offload.uuid7 import new_id
from tests.jobs import NO_CLAIM, register_worker
from tests.tasks import add

pytestmark = pytest.mark.django_db

HAS_PLAN = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)")
READY = 3_000
SCHEDULED = 2_000
RUNNING = 2_000
FINISHED_BEFORE = 100
FINISHED = 100_000
FAILED_ATTEMPTS = 20_000
IDS = {
    "sqlite": "(SELECT value AS id FROM json_each(%s))",
    "postgresql": "(SELECT value::uuid AS id FROM json_array_elements_text(%s::json))",
    "mysql": "JSON_TABLE(%s, '$[*]' COLUMNS (id CHAR(36) CHARACTER SET ascii PATH '$'))",
}
"""A table of the ids in a JSON list."""


@pytest.fixture(scope="module")
def rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Fill the table, outside the tests' transactions; return the worker that runs jobs."""
    with django_db_blocker.unblock():
        worker = register_worker(lease=1000)
        fill(READY, JobState.READY)
        fill(SCHEDULED, JobState.SCHEDULED)
        fill(RUNNING, JobState.RUNNING, worker=UUID(worker))
        fill(FINISHED_BEFORE, JobState.SUCCESSFUL, finished_at=timezone.now())
        yield worker
        empty()


@pytest.fixture(scope="module")
def many_rows(rows: str, django_db_blocker: Any) -> str:
    with django_db_blocker.unblock():
        fill(FINISHED, JobState.SUCCESSFUL, finished_at=timezone.now())
        add_failed_attempts(FAILED_ATTEMPTS)
        analyze()
    return rows


def fill(count: int, state: JobState, **columns: Any) -> None:
    """Add copies of one enqueued job."""
    template = add.enqueue(1)
    Job.objects.filter(pk=template.id).update(state=state, **columns)
    names = ", ".join(field.column for field in Job._meta.fields if field.column != "id")
    key = get_store("default").key
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO offload_job (id, {names}) SELECT new.id, {names} "
            f"FROM {IDS[connection.vendor]} AS new, offload_job AS job WHERE job.id = %s",
            [json.dumps([key(new_id()) for _ in range(count)]), key(UUID(template.id))],
        )


def add_failed_attempts(count: int) -> None:
    """Add a failed attempt to some finished jobs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO offload_attempt (job_id, fence, number, worker, started_at, finished_at, "
            "exception_class_path, message, traceback) "
            "SELECT id, 1, 1, id, enqueued_at, finished_at, '', '', '' FROM offload_job "
            "WHERE state = %s LIMIT %s",
            [int(JobState.SUCCESSFUL), count],
        )


def empty() -> None:
    with connection.cursor() as cursor:
        command = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
        for table in ("offload_job", "offload_attempt", "offload_worker"):
            cursor.execute(f"{command} {table}")
        if connection.vendor == "sqlite":
            cursor.execute("DROP TABLE IF EXISTS sqlite_stat1")
    if connection.vendor != "sqlite":
        analyze()


def analyze() -> None:
    with connection.cursor() as cursor:
        command = "ANALYZE TABLE" if connection.vendor == "mysql" else "ANALYZE"
        for table in ("offload_job", "offload_attempt"):
            cursor.execute(f"{command} {table}")
            if connection.vendor == "mysql":
                cursor.fetchall()


# --- plans ------------------------------------------------------------------------------------


def explained() -> AbstractContextManager[list[str]]:
    """Collect the database's plan of each statement."""
    return explained_by_sqlite() if connection.vendor == "sqlite" else explained_by_server()


@contextmanager
def explained_by_sqlite() -> Iterator[list[str]]:
    """Take the statements from SQLite itself: its store bypasses Django's cursors."""
    plans: list[str] = []
    statements: list[str] = []
    connection.ensure_connection()
    raw = connection.connection
    raw.set_trace_callback(statements.append)
    yield plans
    raw.set_trace_callback(None)
    for sql in statements:
        if HAS_PLAN.match(without_comments(sql)):
            steps = raw.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            plans.append("\n".join(str(step[-1]) for step in steps))


@contextmanager
def explained_by_server() -> Iterator[list[str]]:
    plans: list[str] = []
    prepared: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        for part in sql.split(";"):  # a packet of statements
            if HAS_PLAN.match(without_comments(part)):
                with context["connection"].connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN {part}", params[0] if many else params)
                    plans.append("\n".join(str(row) for row in cursor.fetchall()))
        prepared.append(without_parameters(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans
    if connection.vendor == "postgresql":
        plans += generic_plans(prepared)


def generic_plans(statements: Collection[str]) -> Iterator[str]:
    """Yield the plans, for any parameters, of the statements that the driver has prepared."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
        )
        for name, sql, count in cursor.fetchall():
            if without_parameters(sql) in statements and HAS_PLAN.match(without_comments(sql)):
                cursor.execute("SHOW plan_cache_mode")
                assert cursor.fetchone() == ("force_generic_plan",)
                parameters = f"({', '.join(['NULL'] * count)})" if count else ""
                cursor.execute(f"EXPLAIN EXECUTE {name} {parameters}")
                yield "\n".join(str(row) for row in cursor.fetchall())


def without_parameters(sql: str) -> str:
    return re.sub(r"%\(\w+\)s|%s|\$\d+", "?", sql)


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*\n", "", sql)


def assert_index(plans: list[str], index: str) -> None:
    """Assert that rows of jobs are found by an index, and never by a full scan."""
    text = "\n".join(plans)
    primary = {
        "sqlite": r"sqlite_autoindex_offload_job_1|PRIMARY KEY",
        "postgresql": "offload_job_pkey",
        "mysql": "PRIMARY",
    }[connection.vendor]
    pattern = primary if index == "primary" else index
    if connection.vendor == "mysql":
        # The index in use, which has a length, not a possible one.
        pattern = rf"'{pattern}', '\d+'"
    assert re.search(pattern, text), text
    for scan in (r"Seq Scan on offload_job\b", r"SCAN (offload_job|job|ready)\b(?! USING)"):
        assert not re.search(scan, text), text
    if connection.vendor == "mysql":
        assert not re.search(r"'(offload_job|job|U0)', 'ALL'", text), text


def prune(*, before: float) -> None:
    store = get_store("default")
    next(
        store.prune(
            store.finished_before("default", JobState.SUCCESSFUL, before=store.now(after=before))
        )
    )


def request() -> ClaimRequest:
    return ClaimRequest("default", ("default", "mail", "slow"), 100, 10)


def claim(worker: str) -> None:
    get_store("default").exchange(worker, [], request())


def claim_above_watermarks(worker: str) -> None:
    job = Job.objects.filter(state=JobState.READY).latest("id")
    assert job.run_after
    run_after, key = to_microseconds(job.run_after), get_store("default").key(job.pk)
    watermarks = [
        Watermark("default", False, priority, run_after, key)
        for priority in (job.priority, job.priority - 1)
    ]
    get_store("default").exchange(worker, [], replace(request(), watermarks=watermarks))


def cancel_requests(worker: str) -> None:
    store = get_store("default")
    store.held_jobs(UUID(worker), among={job.key for job in store.claimed_by(worker)[:50]})


def finish(worker: str) -> None:
    store = get_store("default")
    jobs = store.claimed_by(worker)[:200]
    store.exchange(worker, [(job, succeeded("1")) for job in jobs], NO_CLAIM)


def keep_progress(worker: str) -> None:
    store = get_store("default")
    progress = [(job.key, "{}") for job in store.claimed_by(worker)[:200]]
    assert len(store.exchange(worker, [], NO_CLAIM, sorted(progress)).progress_written) == 200


def running(worker: str) -> list[UUID]:
    return [UUID(job.id) for job in get_store("default").claimed_by(worker)[:50]]


STATEMENTS: list[tuple[str, Callable[[str], Any], str]] = [
    ("claim", claim, "offload_job_ready"),
    ("claim by key", claim, "primary"),
    ("claim above watermarks", claim_above_watermarks, "offload_job_ready"),
    ("cancel requests", cancel_requests, "primary"),
    ("finish", finish, "primary"),
    ("progress", keep_progress, "primary"),
    ("promote", lambda _: get_store("default").promote(), "offload_job_scheduled"),
    ("due", lambda _: get_store("default").poll("default"), "offload_job_scheduled"),
    ("poll", lambda _: get_store("default").poll("default"), "offload_job_ready"),
    ("orphans", lambda _: get_store("default").rescue(), "offload_job_running"),
    (
        "held_jobs",
        lambda worker: get_store("default").held_jobs(UUID(worker)),
        "offload_job_running",
    ),
    ("claimed_by", lambda worker: get_store("default").claimed_by(worker), "offload_job_running"),
    ("prune nothing", lambda _: prune(before=-3600), "offload_job_finished"),
    ("prune", lambda _: prune(before=3600), "offload_job_finished"),
    ("prune by key", lambda _: prune(before=3600), "primary"),
    ("ready_queues", lambda _: get_store("default").ready_queues("default"), "offload_job_ready"),
    ("finished", lambda worker: get_store("default").finished(running(worker)), "primary"),
    (
        "changed_since",
        lambda worker: get_store("default").changed_since(
            dict.fromkeys(running(worker), UNKNOWN_VERSION)
        ),
        "primary",
    ),
    (
        "ready_order",
        lambda _: get_store("default").ready_order("default", "default", is_async=False, limit=100),
        "offload_job_ready",
    ),
    ("read", lambda worker: get_store("default").read(running(worker)[0]), "primary"),
]


@pytest.mark.parametrize(
    ("operation", "index"), [pytest.param(*rest, id=name) for name, *rest in STATEMENTS]
)
class TestPlans:
    def test_in_a_small_table_that_was_analyzed(self, rows, operation, index):
        analyze()
        with explained() as plans:
            operation(rows)
        assert_index(plans, index)

    def test_beside_many_finished_jobs(self, many_rows, operation, index):
        with explained() as plans:
            operation(many_rows)
        assert_index(plans, index)


@pytest.mark.parametrize(
    ("query", "column"),
    [
        (lambda: get_store("default").promote(), "run_after"),
        (lambda: oldest_wait("default", "default"), "run_after"),
        (lambda: prune(before=-3600), "finished_at"),
    ],
    ids=["promote", "oldest wait", "prune"],
)
def test_due_jobs_are_a_range_of_an_index(many_rows, query, column):
    """Otherwise all jobs that are not due yet are read, although in the order of the index."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL shows the range in its plans")
    with explained() as plans:
        query()
    assert re.search(rf"Index Cond: .*\b{column} <", "\n".join(plans)), plans


def test_pruning_reads_few_rows_if_no_job_is_old(many_rows):
    if connection.vendor != "mysql":
        pytest.skip("only MariaDB and MySQL count rows")
    with connection.cursor() as cursor:
        cursor.execute("FLUSH LOCAL STATUS")
        prune(before=-3600)
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        assert sum(int(count) for _, count in cursor.fetchall()) < 100


def test_pruning_finds_failed_attempts_by_their_index(many_rows):
    """A scan may cost less among a few thousand attempts, but not among many."""
    with explained() as plans:
        prune(before=3600)
    deletes = [plan for plan in plans if "offload_attempt" in plan]
    assert deletes
    scan = r"Seq Scan|SCAN offload_attempt|'offload_attempt', 'ALL'"
    assert not re.search(scan, "\n".join(deletes)), deletes


def test_finding_queues_reads_few_rows_however_many_are_ready(many_rows):
    """A plan names the right index even if all of it is read; MariaDB counts the rows it reads."""
    if connection.vendor != "mysql":
        pytest.skip("only MariaDB and MySQL count rows")
    with connection.cursor() as cursor:
        cursor.execute("FLUSH LOCAL STATUS")
        get_store("default").ready_queues("default")
        get_store("default").poll("default")
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
    assert read < 100


def test_the_first_ready_jobs_are_found_by_reading_few_rows(many_rows):
    if connection.vendor != "mysql":
        pytest.skip("only MariaDB and MySQL count rows")
    with connection.cursor() as cursor:
        cursor.execute("FLUSH LOCAL STATUS")
        assert (
            len(get_store("default").ready_order("default", "default", is_async=False, limit=10))
            == 10
        )
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
    assert read < 20


def test_finishing_uses_the_primary_key_although_it_is_prepared(many_rows):
    """A generic plan of PostgreSQL may go through the index of running jobs."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has generic plans")
    store = get_store("default")
    jobs = store.claimed_by(many_rows)
    # The driver prepares after 5 executions, and the server may then plan generically.
    for _ in range(8):
        store.exchange(many_rows, [(job, succeeded("1")) for job in jobs[:1]], NO_CLAIM)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        prepared = json.dumps(cursor.fetchall())
    with explained() as plans:
        store.exchange(many_rows, [(job, succeeded("1")) for job in jobs[1:]], NO_CLAIM)
    assert_index(plans, "primary")
    assert prepared
