"""Connections between two jobs: each job gets a clean one, and broken ones harm no thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import Error, connection, connections
from django.db.backends.signals import connection_created
from django.tasks.signals import task_finished, task_started

from offload import JobState
from offload.models import Job
from offload.worker.execution.connections import reset_connections
from offload.worker.runners import threads
from tests.tasks import add
from tests.worker import tasks
from tests.worker.conftest import StartWorker, has_started, until
from tests.worker.runners.harness import LIMIT, RaisesOnce, make_threads


@pytest.mark.parametrize("error", [RuntimeError("the pool is closed"), Error("broken")])
def test_a_connection_that_cannot_be_reset_does_not_stop_the_thread(start, monkeypatch, error):
    monkeypatch.setattr(threads, "reset_connections", RaisesOnce(error, reset_connections))
    harness = start(make_threads)

    for _ in range(2):
        assert harness.run(add, 1).outcome.state == JobState.SUCCESSFUL


@pytest.fixture
def persistent_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the connections of new threads open between jobs."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)


@pytest.mark.parametrize("interruption", ["timeout", "cancel"])
def test_a_task_interrupted_in_a_query_does_not_leave_its_connection_to_the_next_job(
    persistent_connections, start_worker: StartWorker, interruption
):
    start_worker(0, threads=1, kill_grace_period=20)
    assert tasks.use_database.enqueue().wait(LIMIT).return_value[0] is False
    assert tasks.use_database.enqueue().wait(LIMIT).return_value[0] is True  # it was kept

    timeout = 0.2 if interruption == "timeout" else 600
    stuck = tasks.stay_in_query.using(timeout=timeout).enqueue()
    until(lambda: has_started(stuck))
    if interruption == "cancel":
        stuck.cancel()

    assert stuck.wait(LIMIT).state in {JobState.FAILED, JobState.CANCELLED}
    after = tasks.use_database.enqueue().wait(LIMIT)
    assert after.state == JobState.SUCCESSFUL, after.errors
    assert after.return_value == [False, 1, False, True]


@pytest.mark.parametrize("has_query", [True, False])
@pytest.mark.parametrize("enter_schema", [tasks.enter_schema, tasks.aenter_schema])
def test_what_a_task_sets_on_a_connection_does_not_reach_the_next_job(
    start_worker: StartWorker, enter_schema, has_query
):
    """Otherwise the jobs of one tenant would run in the schema of another."""
    start_worker(0, threads=1, async_threads=1)

    for name in ("acme", "bolt"):
        result = enter_schema.enqueue(name, has_query=has_query).wait(LIMIT)
        assert result.return_value == "", result.errors


def test_a_connection_that_got_too_old_while_no_job_ran_is_not_used(monkeypatch, start_worker):
    """The server may have closed it meanwhile; here it has."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0.5)
    start_worker(0, threads=1)
    session = tasks.database_session.enqueue().wait(LIMIT).return_value
    is_too_old_at = time.monotonic() + 0.5

    until(lambda: time.monotonic() > is_too_old_at)
    _close_session(session)

    after = tasks.use_database.enqueue().wait(LIMIT)
    assert after.state == JobState.SUCCESSFUL, after.errors
    assert after.return_value[0] is False


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server")
@pytest.mark.parametrize(
    "kept",
    [
        {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
        {"CONN_MAX_AGE": 0.5},
    ],
    ids=["with health checks", "up to an age"],
)
def test_the_first_jobs_after_a_pause_and_their_receivers_find_connections_that_work(
    monkeypatch, start_worker: StartWorker, receivers: list[str], kept: dict[str, Any]
):
    """Also if the server has closed all of them, as after a restart or at an idle timeout."""
    for name, value in kept.items():
        monkeypatch.setitem(connections.settings["default"], name, value)
    earlier = _other_sessions()  # threads that other tests have left may use them again
    start_worker(0, threads=1, async_threads=1)
    for task in (tasks.use_database, tasks.ause_database):
        assert task.enqueue().wait(LIMIT).state == JobState.SUCCESSFUL
    until(lambda: len(receivers) == 4)
    is_too_old_at = time.monotonic() + 0.5

    until(lambda: time.monotonic() > is_too_old_at)
    for session in _other_sessions() - earlier:  # of the worker, its listener and its jobs
        with suppress(Error):  # it has ended meanwhile
            _close_session(session)
    after = [task.enqueue() for task in (tasks.use_database, tasks.ause_database)]

    for result in after:
        assert result.wait(LIMIT).state == JobState.SUCCESSFUL, result.errors
        assert result.attempts == 1
    until(lambda: len(receivers) == 8)
    assert set(receivers) == {"it works"}


@pytest.fixture
def receivers() -> Iterator[list[str]]:
    """What receivers of the signals of a worker found when they used the database."""
    found: list[str] = []

    def query(**_: Any) -> None:
        try:
            Job.objects.exists()
        except Error as error:
            found.append(repr(error))
        else:
            found.append("it works")

    for signal in (task_started, task_finished):
        signal.connect(query)
    yield found
    for signal in (task_started, task_finished):
        signal.disconnect(query)


def _other_sessions() -> set[int]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            cursor.execute(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
        return {session for (session,) in cursor.fetchall()}


def _close_session(session: int) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(%s)", [session])
        elif connection.vendor == "mysql":
            cursor.execute("KILL %s", [session])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="what PostgreSQL keeps per session")
@pytest.mark.parametrize(
    ("change", "read"),
    [
        (tasks.change_session, tasks.read_session),
        (tasks.achange_session, tasks.aread_session),
        (tasks.change_session, tasks.aread_session),
        (tasks.achange_session, tasks.read_session),
    ],
)
def test_what_a_job_changes_in_its_database_session_ends_with_the_job(start_worker, change, read):
    assert connection.settings_dict["CONN_MAX_AGE"] == 0
    start_worker(0, threads=1, async_threads=1)
    before = read.enqueue().wait(LIMIT).return_value

    assert change.enqueue().wait(LIMIT).state == JobState.SUCCESSFUL

    assert read.enqueue().wait(LIMIT).return_value == before
    assert before[2:] == [None, True]


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_exits_leaves_no_connection_open(persistent_connections, start):
    created: list[Any] = []

    def remember(connection: Any, **_: Any) -> None:
        created.append(connection)

    connection_created.connect(remember)
    try:
        harness = start(make_threads)
        report = harness.run(tasks.use_database)
    finally:
        connection_created.disconnect(remember)
    assert report.outcome.state == JobState.SUCCESSFUL
    (of_thread,) = created
    assert of_thread.connection is not None

    harness.runner.stop()

    until(lambda: of_thread.connection is None)


@pytest.mark.django_db(transaction=True)
def test_a_connection_too_broken_to_be_closed_raises_nothing(persistent_connections):
    closed = []

    def break_and_reset() -> None:
        broken = connections["default"]
        broken.ensure_connection()
        close = broken.close

        def fail() -> None:
            close()
            raise Error("too broken")

        broken.close = fail
        reset_connections(close_all=True)
        closed.append(broken.connection is None and connections["default"] is not broken)

    thread = threading.Thread(target=break_and_reset)  # pytest's own connection stays
    thread.start()
    thread.join()

    assert closed == [True]
