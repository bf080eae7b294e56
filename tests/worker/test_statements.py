"""How many statements and commits jobs cost: those of one batch share them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from benchmarks.fleet_in_threads import FleetInThreads
from benchmarks.statements import StatementCounter
from offload import JobState
from offload.backends.messages import JobMessage
from offload.models import Job
from offload.store import get_store
from offload.worker.fleet import pool, received_jobs
from offload.worker.pools import capacity
from tests.tasks import add
from tests.worker.conftest import until

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

JOBS = 1_000


def test_a_thousand_jobs_cost_few_commits(start_worker):
    connection.close()  # so that all of its statements are counted
    counter = StatementCounter()

    add.enqueue_many([((number,), {}) for number in range(JOBS)])
    enqueued = counter.statements, counter.commits
    start_worker(0, threads=4, drain=True).join()

    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == JOBS
    counter.stop(connection)
    if connection.vendor == "postgresql":
        assert enqueued[0] <= 5
        assert counter.statements <= JOBS / 2
    elif connection.vendor == "sqlite":
        assert enqueued[1] == 1
        assert counter.statements <= 2.5 * JOBS
        assert counter.commits <= JOBS / 4
    else:
        assert counter.statements <= 2.5 * JOBS


@pytest.fixture
def counter(transactional_db: None) -> Iterator[StatementCounter]:
    connection.close()  # so that all of its statements are counted
    counter = StatementCounter()
    yield counter
    counter.stop(connection)


@pytest.fixture
def fleet(
    counter: StatementCounter, takes_nothing_back: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FleetInThreads]:
    """A fleet in which no limit in seconds decides what shares a statement."""
    monkeypatch.setattr(capacity, "MAX_WAITING_SECONDS", 1e6)
    monkeypatch.setattr(pool, "MAX_LINGER", 1e6)
    monkeypatch.setattr(received_jobs, "MAX_WAITING_SECONDS", 1e6)
    fleet = FleetInThreads(8, lease=1e6)
    yield fleet
    fleet.stop()


def run_by_fleet(fleet: FleetInThreads) -> None:
    results = add.enqueue_many([((number,), {}) for number in range(JOBS)])
    key = get_store("default").key
    fleet.run(
        JobMessage("default", is_async=False, priority=0, id=key(UUID(result.id)), may_wait=True)
        for result in results
    )


def test_a_fleet_claims_and_writes_each_message_by_one_statement(fleet, counter):
    run_by_fleet(fleet)  # so that each process knows how long these jobs take
    before = counter.statements, counter.commits

    run_by_fleet(fleet)

    statements, commits = counter.statements - before[0], counter.commits - before[1]
    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == 2 * JOBS
    messages = 9
    if connection.vendor == "postgresql":  # settings and hints are statements, too
        assert statements <= 10 * messages
    else:
        # SQLite inserts and finishes each job by a statement of its own, MariaDB only inserts it.
        of_each_job = 2 * JOBS if connection.vendor == "sqlite" else JOBS
        assert statements <= of_each_job + 12 * messages
        assert commits <= 4 * messages


def test_enqueueing_one_job_is_one_statement(transactional_db):
    connection.close()
    counter = StatementCounter()

    add.enqueue(1)

    counter.stop(connection)
    # PostgreSQL's hint after the commit is the second.
    assert counter.statements <= (2 if connection.vendor == "postgresql" else 1) + 1


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others poll every 15 seconds")
def test_an_idle_worker_polls_with_one_statement(start_worker):
    statements: list[str] = []

    def record(execute: Any, sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    def install(connection: BaseDatabaseWrapper, **_: Any) -> None:
        connection.execute_wrappers.append(record)

    connection_created.connect(install)
    try:
        running = start_worker(0, poll_interval=0.05, lease=1000)
        until(lambda: not running.engine.poller.expects_jobs)
        until(lambda: len(statements) >= 110)
        running.stop()
    finally:
        connection_created.disconnect(install)

    idle = statements[100:110]  # after what every worker does first
    assert len(set(idle)) == 1, idle
