"""On PostgreSQL the worker's statements are planned once, unless a pooler shares the session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from offload.store import get_store
from offload.store.records import ClaimRequest
from tests.jobs import register_worker
from tests.pooler import connect_through, pooler
from tests.tasks import add

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="only PostgreSQL's driver prepares statements"
    ),
]

REQUEST = ClaimRequest("default", ("default",), 10, 10)


def exchange() -> tuple[int, list[str]]:
    """Claim on a new connection; return the number of jobs, and the statements prepared there."""
    worker = register_worker()
    add.enqueue(1)
    connection.close()
    try:
        claimed = get_store("default").exchange(worker, [], REQUEST).claimed
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            return len(claimed), [sql for (sql,) in cursor.fetchall()]
    finally:
        connection.close()


def test_statements_of_an_exchange_are_planned_once() -> None:
    claimed, prepared = exchange()
    assert claimed == 1
    assert any("SKIP LOCKED" in sql for sql in prepared)


def test_behind_a_pooler_no_statement_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    # In a thread with a new connection: this thread's own does not go through the pooler.
    with pooler() as port, ThreadPoolExecutor(1) as thread:
        connect_through(port, monkeypatch)
        assert thread.submit(exchange).result(timeout=30) == (1, [])


@pytest.mark.parametrize("threshold", [0, 1000])
def test_the_projects_own_threshold_is_kept(
    monkeypatch: pytest.MonkeyPatch, threshold: int
) -> None:
    options: dict[str, Any] = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(
        connection.settings_dict, "OPTIONS", {**options, "prepare_threshold": threshold}
    )
    claimed, prepared = exchange()
    assert claimed == 1
    assert bool(prepared) == (threshold == 0)
