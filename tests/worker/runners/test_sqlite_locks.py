"""A task that meets SQLite's lock is called again, but only if it has changed nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import connection, connections

from offload import JobState
from offload.worker.execution import sqlite_locks
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


def test_an_at_most_once_task_is_not_called_again(start, locked):
    harness = start(make_threads)
    harness.submit(claimed(lock_tasks.write, "once", max_worker_losses=0))

    outcome = harness.report().outcome

    assert (outcome.state, outcome.failure[0]) == (JobState.FAILED, LOCKED)
    assert calls("once") == 1
