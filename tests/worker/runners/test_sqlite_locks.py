"""A task that meets SQLite's lock is called again, but only if it has changed nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.signals import connection_created

from offload import JobState
from offload.exceptions import JobCancelled, JobTimeout
from offload.worker.execution import sqlite_connections, sqlite_locks
from tests.models import Effect
from tests.worker import event_log, lock_tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import make_event_loop, make_threads

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows"),
    pytest.mark.django_db(transaction=True),
]
LOCKED = "django.db.utils.OperationalError"


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "timeout", 0.02)


@pytest.fixture
def locked() -> Iterator[sqlite3.Connection]:
    """A connection that holds the write lock until it is closed."""
    name = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None, check_same_thread=False)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield holder


def calls(token: str) -> int:
    return len(event_log.entries("call", token))


@pytest.mark.parametrize(
    ("make", "task"),
    [
        (make_threads, lock_tasks.write),
        (make_threads, lock_tasks.write_in_transaction),
        (make_threads, lock_tasks.write_atomically),
        (make_event_loop, lock_tasks.awrite),
    ],
)
def test_a_task_that_meets_the_lock_is_called_until_it_is_free(
    start, locked, caplog, make: Any, task: Any
):
    harness = start(make)
    harness.submit(claimed(task, task.name))

    until(lambda: caplog.text.count("database locked before it had written") >= 2)
    locked.close()

    outcome = harness.report().outcome
    assert outcome.state in {JobState.SUCCESSFUL, JobState.READY}  # no worker holds an atomic one
    if task is not lock_tasks.write_atomically:
        assert calls(task.name) >= 3
        assert Effect.objects.filter(token=task.name).count() == 1


@pytest.mark.parametrize(
    "case",
    [
        (make_threads, lock_tasks.write, JobCancelled),
        (make_threads, lock_tasks.write, JobTimeout),
        (make_threads, lock_tasks.write_atomically, JobCancelled),
        (make_event_loop, lock_tasks.awrite, JobCancelled),
    ],
    ids=["cancel", "timeout", "cancel atomic", "cancel async"],
)
def test_a_task_that_is_interrupted_does_not_wait_for_the_lock(
    start, locked, caplog, monkeypatch, case: Any
):
    make, task, kind = case
    monkeypatch.setattr(sqlite_locks, "FIRST_DELAY", 60.0)
    monkeypatch.setattr(sqlite_locks, "MAX_DELAY", 60.0)
    harness = start(make)
    job = claimed(task, f"{task.name}-{kind.__name__}", max_attempts=1)
    harness.submit(job)
    until(lambda: "database locked before it had written" in caplog.text)

    harness.runner.interrupt(job.key, kind)

    outcome = harness.report().outcome
    assert outcome.failure[0] == f"offload.exceptions.{kind.__name__}"


def test_a_task_is_not_called_again_without_end(start, locked, monkeypatch):
    monkeypatch.setattr(sqlite_locks, "MAX_CALLS", 3)
    harness = start(make_threads)

    outcome = harness.run(lock_tasks.write, "bounded").outcome

    assert (outcome.state, outcome.failure[0]) == (JobState.FAILED, LOCKED)
    assert calls("bounded") == 3


@pytest.mark.parametrize(
    "task", [lock_tasks.write_and_meet_lock, lock_tasks.write_close_and_meet_lock]
)
def test_a_task_that_has_written_is_not_called_again(start, task: Any):
    harness = start(make_threads)

    outcome = harness.run(task, task.name).outcome

    assert (outcome.state, outcome.failure[0]) == (JobState.FAILED, LOCKED)
    assert calls(task.name) == 1
    assert Effect.objects.filter(token=task.name).count() == 1


@pytest.fixture
def _as_in_a_child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sqlite_connections, "_has_unknown_changes", Event())
    sqlite_connections.prepare_all_connections()
    yield
    connection_created.disconnect(dispatch_uid="offload.sqlite_locks.other")


@pytest.mark.usefixtures("_as_in_a_child")
def test_a_task_that_has_written_in_a_thread_of_its_own_is_not_called_again(start):
    task = lock_tasks.write_in_a_thread_and_meet_lock
    harness = start(make_threads)

    outcome = harness.run(task, task.name).outcome

    assert (outcome.state, outcome.failure[0]) == (JobState.FAILED, LOCKED)
    assert calls(task.name) == 1
    assert Effect.objects.filter(token=task.name).count() == 1


def test_an_at_most_once_task_is_not_called_again(start, locked):
    harness = start(make_threads)
    harness.submit(claimed(lock_tasks.write, "once", max_worker_losses=0))

    outcome = harness.report().outcome

    assert (outcome.state, outcome.failure[0]) == (JobState.FAILED, LOCKED)
    assert calls("once") == 1
