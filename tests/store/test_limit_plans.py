"""The statements of limits find their rows through the indexes that were made for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from offload.lifecycle import succeeded
from offload.models import Limit, LimitKey, LimitNotice
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from tests import limited_tasks as tasks
from tests.jobs import NO_CLAIM, register_worker
from tests.store.test_query_plans import analyze, assert_index, empty, explained

pytestmark = pytest.mark.django_db

KEYS = 3_000
REQUEST = LimitedRequest("default", (), (), 20, 20)
SCANS = {
    "sqlite": r"SCAN (offload_limitkey|opened|closed)\b(?! USING)",
    "postgresql": r"Seq Scan on offload_limit(key|notice)\b|Sort Key: open_at",
    "mysql": r"'(offload_limitkey|notice)', 'ALL'",
}


@pytest.fixture(scope="module")
def worker(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Fill the tables, outside the tests' transactions; return a worker that runs some jobs."""
    store = get_store("default")
    with django_db_blocker.unblock():
        key = register_worker(lease=1000)
        prepare_for_empty_tables(key)
        tasks.call_api.enqueue_many([((str(number),), {}) for number in range(KEYS)])
        tasks.with_total.enqueue_many([((str(number),), {}) for number in range(100)])
        tasks.single.enqueue_many([((), {})] * 1_000)
        for _ in range(8):
            store.exchange(key, [], NO_CLAIM, limited=REQUEST)
        yield key
        empty()
        for model in (Limit, LimitKey, LimitNotice):
            model.objects.all().delete()


def prepare_for_empty_tables(worker: str) -> None:
    """Let PostgreSQL plan the statements that the driver prepares while it knows the tables empty.

    It keeps these plans until it analyzes the tables, however many rows they get.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for model in (Limit, LimitKey, LimitNotice):
                cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
        tasks.single.enqueue()
        store = get_store("default")
        (job,) = store.exchange(worker, [], NO_CLAIM, limited=REQUEST).claimed
        store.exchange(worker, [(job, succeeded("null"))], NO_CLAIM, limited=REQUEST)


@pytest.fixture(params=["young", "analyzed"])
def rows(request: pytest.FixtureRequest, worker: str) -> str:
    """Return the worker, with or without statistics of the tables."""
    if request.param == "analyzed":
        analyze()
        with connection.cursor() as cursor:
            for table in ("offload_limitkey", "offload_limitnotice"):
                command = "ANALYZE TABLE" if connection.vendor == "mysql" else "ANALYZE"
                cursor.execute(f"{command} {table}")
                if connection.vendor == "mysql":
                    cursor.fetchall()
    return worker


def claim(worker: str) -> None:
    tasks.with_total.enqueue("1")
    claimed = get_store("default").exchange(worker, [], NO_CLAIM, limited=REQUEST).claimed
    assert claimed


def finish(worker: str) -> None:
    store = get_store("default")
    finished = [(job, succeeded("null")) for job in store.claimed_by(worker)[:50]]
    assert not store.exchange(worker, finished, NO_CLAIM, limited=REQUEST).refused


@pytest.mark.parametrize("operation", [claim, finish])
def test_limited_jobs_and_their_keys_are_found_by_index(
    rows: str, operation: Callable[[str], None]
) -> None:
    with explained() as plans:
        operation(rows)

    assert_index(plans, "offload_job_limited")
    text = "\n".join(plan for plan in plans if "offload_limit" in plan)
    assert re.search("offload_limitkey_open", text), text
    in_exchange = "\n".join(plan for plan in text.split("\n") if "offload_limit " not in plan)
    assert not re.search(SCANS[connection.vendor], in_exchange), in_exchange


def test_a_claim_of_limited_jobs_has_few_statements_however_many_keys_it_serves(
    worker: str,
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the others have statements for each key")
    store = get_store("default")
    tasks.fair.enqueue_many([((str(number),), {}) for number in range(100)])
    statements: list[str] = []

    def record(execute: Any, sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    request = LimitedRequest("default", (), (), 40, 40)
    store.exchange(worker, [], NO_CLAIM, limited=request)
    with connection.execute_wrapper(record):
        claimed = store.exchange(worker, [], NO_CLAIM, limited=request).claimed
        rounds = len(re.findall("SKIP LOCKED", "".join(statements)))
        finished = [(job, succeeded("null")) for job in claimed]
        before = len(statements)
        store.exchange(worker, finished, NO_CLAIM)

    assert len(claimed) > 10
    assert before <= 8 + 5 * rounds, statements
    assert len(statements) - before <= 5, statements[before:]
