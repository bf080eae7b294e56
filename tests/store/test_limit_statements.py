"""An exchange with limited jobs asks and writes no more than it must."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from offload.lifecycle import succeeded
from offload.models import LimitKey
from offload.store.base import Store
from offload.store.records import ExtraColumns
from offload.store.statements import finish_statement
from tests import limited_tasks as tasks
from tests.store.limit_claims import by_key, claim

pytestmark = pytest.mark.django_db


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Collect the statements, on SQLite from the driver: its store bypasses Django's cursors."""
    statements: list[str] = []

    def record(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    if connection.vendor == "sqlite":
        raw = connection.connection
        raw.set_trace_callback(statements.append)
        yield statements
        raw.set_trace_callback(None)
    else:
        with connection.execute_wrapper(record):
            yield statements


def versions_of_keys() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT limit_key, xmin::text FROM offload_limitkey ORDER BY limit_key")
        return cursor.fetchall()


def test_finished_jobs_write_no_row_of_a_key_that_stays_open(store: Store, worker: str) -> None:
    tasks.fair.enqueue_many([((customer,), {}) for customer in "aaabbb"])
    finished = tuple((job, succeeded("null")) for job in claim(store, worker, slots=2))
    before = versions_of_keys() if connection.vendor == "postgresql" else []

    with recorded() as statements:
        assert claim(store, worker, "none", finished=finished) == []

    if connection.vendor == "postgresql":
        assert versions_of_keys() == before
    else:
        assert not [sql for sql in statements if "UPDATE offload_limitkey" in sql]
    assert by_key(claim(store, worker)) == {"a": 2, "b": 2}


def test_a_key_without_waiting_jobs_stays_closed_when_its_job_finishes(
    store: Store, worker: str
) -> None:
    tasks.everything.enqueue_many([((customer,), {}) for customer in "ab"])  # its keys have a rate
    finished = tuple((job, succeeded("null")) for job in claim(store, worker))

    claim(store, worker, "none", finished=finished)

    keys = LimitKey.objects.exclude(parent="")
    assert [key.open_at for key in keys] == [None, None]


def test_open_keys_are_looked_for_once_if_all_were_found(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "aaabbb"])

    with recorded() as statements:
        assert by_key(claim(store, worker)) == {"a": 2, "b": 2}

    looks = [sql for sql in statements if re.search(r"parent = \S+ AND open_at <= ", sql)]
    assert len(looks) == 1, looks


def test_slots_that_one_key_leaves_go_to_another(store: Store, worker: str) -> None:
    tasks.fair.enqueue_many([((customer,), {}) for customer in "a" + "b" * 20])

    assert by_key(claim(store, worker, slots=10)) == {"a": 1, "b": 9}


def test_the_end_of_an_ordinary_job_writes_no_index_of_limits_and_keys(store: Store) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the others write the indexes of a row by other rules")
    sql = finish_statement("sqlite", ExtraColumns(limit_slot=False, unique_key=False), "end")
    connection.ensure_connection()
    raw = connection.connection
    pages = dict(raw.execute("SELECT rootpage, name FROM sqlite_master").fetchall())
    steps = raw.execute(f"EXPLAIN {sql}", ["", 1, 4, 0, 0, 0, "null", 1]).fetchall()
    opened = {pages[step[3]] for step in steps if step[1] == "OpenWrite"}

    assert opened >= {"offload_job", "offload_job_running", "offload_job_finished"}
    unused = {"offload_job_limited", "offload_job_unique", "offload_job_workflow"}
    assert opened.isdisjoint(unused), opened
