"""The hot statements find their rows through the index that was made for them.

On a young table, after ANALYZE, and beside 100,000 jobs that have ended.
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
from tests.jobs import register_worker
from tests.tasks import add

pytestmark = pytest.mark.django_db

HAS_PLAN = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)")
READY, WAITING, RUNNING, ENDED, FAILED = 3_000, 2_000, 2_000, 100_000, 20_000
ENDED_EARLY = 100
IDS = {
    "sqlite": "(SELECT value AS id FROM json_each(%s))",
    "postgresql": "(SELECT value::uuid AS id FROM json_array_elements_text(%s::json))",
    "mysql": "JSON_TABLE(%s, '$[*]' COLUMNS (id CHAR(36) CHARACTER SET ascii PATH '$'))",
}
"""A table of the ids in a JSON list."""


@pytest.fixture(scope="module")
def rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Fill the table, outside of the tests' transactions; return the engine that runs jobs."""
    with django_db_blocker.unblock():
        worker = register_worker(lease=1000)
        fill(READY, JobState.READY)
        fill(WAITING, JobState.SCHEDULED)
        fill(RUNNING, JobState.RUNNING, worker=UUID(worker))
        fill(ENDED_EARLY, JobState.SUCCESSFUL, finished_at=timezone.now())
        yield worker
        empty()


@pytest.fixture(scope="module")
def many_rows(rows: str, django_db_blocker: Any) -> str:
    with django_db_blocker.unblock():
        fill(ENDED, JobState.SUCCESSFUL, finished_at=timezone.now())
        keep_failures(FAILED)
        analyze()
    return rows


def fill(count: int, state: JobState, **columns: Any) -> None:
    """Multiply one enqueued job in the database."""
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


def keep_failures(count: int) -> None:
    """Have as many of the jobs that have ended failed before."""
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
        verb = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
        for table in ("offload_job", "offload_attempt", "offload_worker"):
            cursor.execute(f"{verb} {table}")
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
    """Collect the plan of each statement, as the database tells it."""
    return explained_by_sqlite() if connection.vendor == "sqlite" else explained_by_server()


@contextmanager
def explained_by_sqlite() -> Iterator[list[str]]:
    """The store passes by Django's cursors here, so SQLite itself tells its statements."""
    plans: list[str] = []
    seen: list[str] = []
    connection.ensure_connection()
    raw = connection.connection
    raw.set_trace_callback(seen.append)
    yield plans
    raw.set_trace_callback(None)
    for sql in seen:
        if HAS_PLAN.match(without_comments(sql)):
            found = raw.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            plans.append("\n".join(str(row[-1]) for row in found))


@contextmanager
def explained_by_server() -> Iterator[list[str]]:
    plans: list[str] = []
    prepared: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        for part in sql.split(";"):  # a packet of statements
            if HAS_PLAN.match(without_comments(part)):
                with context["connection"].connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN {part}", params)
                    plans.append("\n".join(str(row) for row in cursor.fetchall()))
        prepared.append(without_parameters(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans
    if connection.vendor == "postgresql":
        plans += generic_plans(prepared)


def generic_plans(statements: Collection[str]) -> Iterator[str]:
    """Return the plans of those statements that the driver has prepared: for all parameters."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
        )
        for name, sql, count in cursor.fetchall():
            if without_parameters(sql) in statements and HAS_PLAN.match(without_comments(sql)):
                cursor.execute("SHOW plan_cache_mode")
                assert cursor.fetchone() == ("force_generic_plan",)
                cursor.execute(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
                yield "\n".join(str(row) for row in cursor.fetchall())


def without_parameters(sql: str) -> str:
    return re.sub(r"%\(\w+\)s|%s|\$\d+", "?", sql)


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*\n", "", sql)


def assert_index(plans: list[str], index: str) -> None:
    """Assert that a job's row is found by the index, and never by looking at all of them."""
    text = "\n".join(plans)
    primary = {
        "sqlite": r"sqlite_autoindex_offload_job_1|PRIMARY KEY",
        "postgresql": "offload_job_pkey",
        "mysql": "PRIMARY",
    }[connection.vendor]
    wanted = primary if index == "primary" else index
    if connection.vendor == "mysql":
        # The index in use, with its length, and not a possible one.
        wanted = rf"'{wanted}', '\d+'"
    assert re.search(wanted, text), text
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


def room(threads: int = 100) -> ClaimRequest:
    return ClaimRequest("default", ("default", "mail", "slow"), threads, 10)


def claim(worker: str) -> None:
    get_store("default").exchange(worker, [], room())


def claim_above_floors(worker: str) -> None:
    job = Job.objects.filter(state=JobState.READY).latest("id")
    assert job.run_after
    floors = [
        Watermark("default", False, priority, to_microseconds(job.run_after), job.pk)
        for priority in (job.priority, job.priority - 1)
    ]
    floors = [floor._replace(id=get_store("default").key(floor.id)) for floor in floors]
    get_store("default").exchange(worker, [], replace(room(), watermarks=floors))


def cancelled(worker: str) -> None:
    store = get_store("default")
    store.held_jobs(UUID(worker), among={job.key for job in store.claimed_by(worker)[:50]})


def finish(worker: str) -> None:
    store = get_store("default")
    jobs = store.claimed_by(worker)[:200]
    store.exchange(worker, [(job, succeeded("1")) for job in jobs], ClaimRequest("default", ()))


def keep_progress(worker: str) -> None:
    store = get_store("default")
    moved = [(job.key, "{}") for job in store.claimed_by(worker)[:200]]
    assert (
        len(store.exchange(worker, [], ClaimRequest("default", ()), sorted(moved)).progress_written)
        == 200
    )


def running(worker: str) -> list[UUID]:
    return [UUID(job.id) for job in get_store("default").claimed_by(worker)[:50]]


STATEMENTS: list[tuple[str, Callable[[str], Any], str]] = [
    ("claim", claim, "offload_job_ready"),
    ("claim by key", claim, "primary"),
    ("claim above floors", claim_above_floors, "offload_job_ready"),
    ("cancelled", cancelled, "primary"),
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
    ("verb", "index"), [pytest.param(*rest, id=name) for name, *rest in STATEMENTS]
)
class TestPlans:
    def test_in_a_young_table_that_was_analyzed(self, rows, verb, index):
        analyze()
        with explained() as plans:
            verb(rows)
        assert_index(plans, index)

    def test_beside_many_jobs_that_have_ended(self, many_rows, verb, index):
        with explained() as plans:
            verb(many_rows)
        assert_index(plans, index)


@pytest.mark.parametrize(
    ("look", "column"),
    [
        (lambda: get_store("default").promote(), "run_after"),
        (lambda: oldest_wait("default", "default"), "run_after"),
        (lambda: prune(before=-3600), "finished_at"),
    ],
    ids=["promote", "waiting since", "prune"],
)
def test_what_is_due_is_a_range_of_an_index(many_rows, look, column):
    """Else all jobs would be read that are not due yet, although in the order of the index."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL tells the range in its plans")
    with explained() as plans:
        look()
    assert re.search(rf"Index Cond: .*\b{column} <", "\n".join(plans)), plans


def test_pruning_reads_few_rows_if_none_is_old(many_rows):
    if connection.vendor != "mysql":
        pytest.skip("asks MariaDB or MySQL")
    with connection.cursor() as cursor:
        cursor.execute("FLUSH LOCAL STATUS")
        prune(before=-3600)
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        assert sum(int(count) for _, count in cursor.fetchall()) < 100


def test_pruning_finds_failed_attempts_by_their_index(many_rows):
    """Of a few thousand attempts reading all may cost less; of many never."""
    with explained() as plans:
        prune(before=3600)
    deletes = [plan for plan in plans if "offload_attempt" in plan]
    assert deletes
    scan = r"Seq Scan|SCAN offload_attempt|'offload_attempt', 'ALL'"
    assert not re.search(scan, "\n".join(deletes)), deletes


def test_finding_queues_reads_few_rows_however_many_are_ready(many_rows):
    """Plans name the right index although all of it may be read; MariaDB counts what it reads."""
    if connection.vendor != "mysql":
        pytest.skip("asks MariaDB or MySQL")
    with connection.cursor() as cursor:
        cursor.execute("FLUSH LOCAL STATUS")
        get_store("default").ready_queues("default")
        get_store("default").poll("default")
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
    assert read < 100


def test_a_place_in_line_is_found_by_reading_few_rows_however_many_wait(many_rows):
    if connection.vendor != "mysql":
        pytest.skip("asks MariaDB or MySQL")
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
    """A generic plan of PostgreSQL once went through the index of running jobs."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has generic plans")
    store = get_store("default")
    jobs = store.claimed_by(many_rows)
    nothing = ClaimRequest("default", ())
    for _ in range(8):  # the driver prepares after 5 times, the server may plan generically then
        store.exchange(many_rows, [(job, succeeded("1")) for job in jobs[:1]], nothing)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        prepared = json.dumps(cursor.fetchall())
    with explained() as plans:
        store.exchange(many_rows, [(job, succeeded("1")) for job in jobs[1:]], nothing)
    assert_index(plans, "primary")
    assert prepared
