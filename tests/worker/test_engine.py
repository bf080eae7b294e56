"""The worker's loop with slow databases, locks of other transactions, and lost answers."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created

from offload import JobState
from offload.models import Job, Worker
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.worker.upkeep import registration
from tests.pooler import connect_through, pooler
from tests.tasks import aadd, add
from tests.worker import tasks
from tests.worker.conftest import WORKER_THREAD, StartWorker, has_started, until
from tests.worker.locking import lock, transaction_elsewhere

needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one lock for everything"
)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite")


def value(result: Any, seconds: float = 15) -> Any:
    result.wait(seconds)
    assert result.state == JobState.SUCCESSFUL, (result.state, result.errors)
    return result.return_value


@needs_server
def test_a_cancel_in_a_long_transaction_delays_no_other_job_and_no_heartbeat(
    start_worker: StartWorker, processes, gate
):
    start_worker(processes, threads=2, lease=3)
    held = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(held))
    (row,) = Worker.objects.all()

    with transaction_elsewhere(held.cancel):
        gate.touch()
        for task in (add, aadd):
            for result in task.enqueue_many([((n,), {}) for n in range(20)]):
                value(result)
        first = Worker.objects.get().heartbeat_at
        assert first is not None
        until(lambda: Worker.objects.filter(heartbeat_at__gt=first + timedelta(seconds=3)).exists())
        assert value(add.enqueue(1)) == 1
        assert Job.objects.get(pk=held.id).state == JobState.RUNNING

    assert Worker.objects.get().pk == row.pk
    assert held.wait(30).state in {JobState.SUCCESSFUL, JobState.CANCELLED}
    assert Job.objects.get(pk=held.id).fence == 1


@needs_server
def test_a_due_job_whose_row_is_locked_does_not_keep_the_worker_busy(
    start_worker: StartWorker, monkeypatch
):
    locked = add.using(run_after=timedelta(hours=1)).enqueue(1)
    tries: list[float] = []
    store = get_store("default")
    promote = store.promote

    def count() -> int:
        tries.append(time.monotonic())
        return promote()

    def make_due() -> None:
        Job.objects.filter(pk=locked.id).update(run_after=store.now(after=-60))

    make_due()
    with transaction_elsewhere(make_due):
        monkeypatch.setattr(store, "promote", count)
        start_worker(0)
        until(lambda: len(tries) >= 6)
        first, *_, last = tries[:6]
        assert last - first > 0.5
    assert value(locked) == 1


def test_a_registration_whose_answer_was_lost_is_repeated_under_another_id(
    start_worker: StartWorker, monkeypatch
):
    reached: list[str] = []

    def lose_the_first_answer(name: str) -> None:
        reached.append(name)
        if reached.count("registration.entered") == 1 and name == "registration.entered":
            raise OperationalError("the connection is closed")

    monkeypatch.setattr(registration, "failpoint", lose_the_first_answer)
    running = start_worker(0)

    assert value(add.enqueue(1)) == 1
    assert Worker.objects.filter(pk=running.engine.registration.id).exists()
    assert Worker.objects.count() == 2  # the first one expires later


def test_jobs_that_others_took_over_are_stopped_even_if_registering_again_fails_once(
    start_worker: StartWorker, processes, monkeypatch
):
    reached: list[str] = []

    def lose_the_second_answer(name: str) -> None:
        reached.append(name)
        if reached.count("registration.entered") == 2 and name == "registration.entered":
            raise OperationalError("the connection is closed")

    monkeypatch.setattr(registration, "failpoint", lose_the_second_answer)
    running = start_worker(processes, lease=1)
    result = tasks.loop_forever.enqueue()
    until(lambda: has_started(result))

    get_store("default").rescue(exited=[running.engine.registration.id])  # as another worker does
    get_notifier("default").notify(Hint.WORK)

    def runs_again_under_the_new_id() -> bool:
        worker = running.engine.registration.key
        jobs = [(job.fence > 1, job.worker) for job in running.pool.held_jobs()]
        return jobs == [(True, worker)]

    until(runs_again_under_the_new_id)
    result.cancel()
    assert result.wait(30).state == JobState.CANCELLED


def test_a_worker_closes_its_own_connection_once_it_has_passed_its_age(
    start_worker: StartWorker, monkeypatch
):
    """The server may close an idle one; the worker's exchanges and duties use it."""
    opened: list[int] = []

    def remember(connection: Any, **_: Any) -> None:
        if threading.current_thread().name == WORKER_THREAD:
            opened.append(id(connection))

    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0.5)
    connection_created.connect(remember)
    try:
        start_worker(0, lease=1.0)
        until(lambda: len(opened) > len(set(opened)))
    finally:
        connection_created.disconnect(remember)


@on_postgresql
def test_both_connections_of_a_worker_notice_that_the_server_is_unreachable(
    start_worker: StartWorker,
):
    engine = start_worker(0).engine
    value(add.enqueue(1))
    listening = engine.poller.fileno()
    assert listening is not None

    # The listener's connection is a copy of the loop's connection, with the same options.
    with socket.socket(fileno=os.dup(listening)) as connected:
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


@pytest.mark.usefixtures("takes_nothing_back")
def test_a_claim_whose_commit_became_visible_late_is_released(start_worker: StartWorker):
    running = start_worker(0, lease=1)
    value(add.enqueue(1))
    late = add.using(run_after=timedelta(hours=1)).enqueue(2)
    claimed = {"state": JobState.RUNNING, "fence": 1, "attempt": 1}

    worker = running.engine.registration.id
    now = get_store("default").now()
    Job.objects.filter(pk=late.id).update(
        worker=worker, started_at=now, last_attempted_at=now, **claimed
    )

    assert value(late) == 2
    row = Job.objects.get(pk=late.id)
    assert (row.fence, row.attempt, row.worker_losses) == (2, 1, 0)
    assert Worker.objects.get().pk == UUID(str(worker))


@on_sqlite
def test_rows_written_without_a_hint_are_found_long_before_the_next_poll(
    start_worker: StartWorker,
):
    deferred = add.using(run_after=timedelta(hours=1)).enqueue(2)
    running = start_worker(0)
    value(add.enqueue(1))
    until(lambda: running.engine.poller.due_at > time.monotonic() + 9)
    until(lambda: not running.engine.poller.expects_jobs)

    Job.objects.filter(pk=deferred.id).update(state=JobState.READY)

    assert value(deferred, 8) == 2


@on_postgresql
def test_a_ready_job_whose_row_was_locked_during_a_poll_is_claimed_soon(
    start_worker: StartWorker,
):
    """For example by the claim of another worker, which locks more rows than it takes."""
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)
    engine = start_worker(0).engine
    until(lambda: engine.poller.due_at > time.monotonic() + 9)

    Job.objects.filter(pk=result.id).update(state=JobState.READY)
    with transaction_elsewhere(lock(result.id)):
        get_notifier("default").notify(Hint.WORK)
        until(lambda: engine.poller.due_at < time.monotonic() + 1)
        until(lambda: engine.poller.due_at > time.monotonic() + 9)
        until(lambda: not engine.poller.expects_jobs)

    until(lambda: Job.objects.get(pk=result.id).finished_at, seconds=5)


@on_postgresql
def test_a_worker_that_receives_no_hints_behind_a_pooler_polls_at_intervals(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
):
    with pooler() as port:
        connect_through(port, monkeypatch)
        running = start_worker(0)
        try:
            until(lambda: not running.engine.poller.expects_jobs)

            result = add.enqueue(1)

            until(lambda: Job.objects.get(pk=result.id).finished_at, seconds=8)
        finally:
            running.stop()
