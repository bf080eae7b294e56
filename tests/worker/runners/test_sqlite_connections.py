"""Every connection of a job waits for SQLite's lock, also outside the task's own code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.tasks.signals import task_finished

from offload.store.losses import lost_outcome
from offload.worker.execution.announcements import announce_finished
from tests.tasks import aadd, add
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import make_event_loop, make_threads

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture(autouse=True)
def _without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transaction_mode", "timeout"):
        monkeypatch.delitem(connections.settings["default"]["OPTIONS"], name)


def mode() -> tuple[str | None, int]:
    """Use the thread's connection; return how its transactions start, and its timeout."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (timeout,) = cursor.fetchone()
    return connection.transaction_mode, timeout


@pytest.fixture
def modes() -> Iterator[list[Any]]:
    """How the connections of receivers of `task_finished` wait."""
    modes: list[Any] = []

    def remember(**_: Any) -> None:
        modes.append(mode())

    task_finished.connect(remember)
    yield modes
    task_finished.disconnect(remember)


WAITS = ("IMMEDIATE", 20_000)


@pytest.mark.parametrize(("make", "task"), [(make_threads, add), (make_event_loop, aadd)])
@pytest.mark.parametrize("changes", [{"expires_at": 1}, {"task_path": "tests.tasks.gone"}])
def test_receivers_of_a_job_that_cannot_start_wait_for_the_lock(
    start, modes, make: Any, task: Any, changes: dict[str, Any]
):
    harness = start(make)
    harness.submit(claimed(task, 1, **changes))

    harness.report()

    assert modes == [WAITS]


def test_receivers_of_a_lost_job_wait_for_the_lock(modes):
    job = claimed(add, 1, max_worker_losses=0)
    thread = threading.Thread(target=announce_finished, args=([(job, lost_outcome(job, "gone"))],))

    thread.start()
    thread.join()

    assert modes == [WAITS]
