"""Threads and event loop report every job, whatever breaks beside the task."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import Error, connection, connections
from django.db.backends.signals import connection_created
from django.tasks.signals import task_finished, task_started

from offload import JobState
from offload.lifecycle import succeeded
from offload.worker.execution import executor
from offload.worker.execution.connections import reset_connections
from offload.worker.runners import event_loop as loop
from offload.worker.runners import threads
from offload.worker.runners.base import FinishReport, Runner
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.threads import ThreadRunner
from tests.tasks import aadd, add
from tests.worker import tasks
from tests.worker.conftest import StartWorker, has_started, until
from tests.worker.job_runs import claimed

LIMIT = 20


class Reports:
    """What a lane says, mostly one with one place."""

    def __init__(self, make: Callable[..., Runner], places: int = 1) -> None:
        self._reports: queue.Queue[FinishReport] = queue.Queue()
        self.lane = make(places, self._reports.put, SlotTable(places))
        self._number = 0

    def get(self) -> FinishReport:
        return self._reports.get(timeout=LIMIT)

    def run(self, task: Any, *arguments: Any) -> FinishReport:
        self._number += 1
        self.lane.submit([(self._number, claimed(task, *arguments))])
        report = self.get()
        assert report.number == self._number
        return report


def make_threads(places: int, report: Any, slot_table: SlotTable) -> Runner:
    return ThreadRunner(places, report, slot_table, "default")


def make_loop(places: int, report: Any, slot_table: SlotTable) -> Runner:
    return EventLoopRunner(places, report, slot_table, first=0)


@pytest.fixture
def start() -> Iterator[Callable[..., Reports]]:
    with ExitStack() as stack:

        def start(make: Callable[..., Runner], places: int = 1) -> Reports:
            reports = Reports(make, places)
            stack.callback(reports.lane.stop)
            return reports

        yield start


class OnlyOnce:
    """Raises once, then does what it stands for."""

    def __init__(self, error: BaseException, real: Callable[..., Any]) -> None:
        self.error: BaseException | None = error
        self.real = real

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return self.real(*args, **kwargs)


LANES = [(make_threads, add), (make_loop, aadd)]


@pytest.mark.parametrize(("make", "task"), LANES)
@pytest.mark.parametrize("error", [RecursionError("deep"), SystemExit("out")])
def test_a_job_that_cannot_even_be_described_is_reported_as_failed(
    start, monkeypatch, make, task, error
):
    monkeypatch.setattr(executor, "JobRun", OnlyOnce(error, executor.JobRun))
    reports = start(make)

    first, second = reports.run(task, 1), reports.run(task, 1)

    assert first.outcome.state == JobState.FAILED
    assert first.outcome.failure is not None
    assert first.outcome.failure[0] == f"builtins.{type(error).__name__}"
    assert second.outcome.state == JobState.SUCCESSFUL


@pytest.mark.parametrize("error", [RuntimeError("the pool is closed"), Error("broken")])
def test_a_connection_that_cannot_be_left_clean_ends_no_thread(start, monkeypatch, error):
    monkeypatch.setattr(threads, "reset_connections", OnlyOnce(error, reset_connections))
    reports = start(make_threads)

    for _ in range(2):
        assert reports.run(add, 1).outcome.state == JobState.SUCCESSFUL


def test_an_async_job_that_other_code_cancelled_is_reported(start, monkeypatch):
    reports = start(make_loop)

    async def cancelled(*_: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "execute_async", cancelled)
        first = reports.run(aadd, 1)

    assert first.outcome.state == JobState.FAILED
    assert reports.run(aadd, 1).outcome.state == JobState.SUCCESSFUL


def test_jobs_that_never_wait_leave_the_others_their_turn(start, monkeypatch):
    for signal in (task_started, task_finished):
        monkeypatch.setattr(signal, "receivers", [])  # they are called in another thread
    reports = start(make_loop, places=2)
    jobs = [claimed(tasks.yield_often, 3), *(claimed(tasks.anoop) for _ in range(100))]
    reports.lane.submit(list(enumerate(jobs, 1)))

    order = [reports.get().number for _ in jobs]

    assert sorted(order) == list(range(1, len(jobs) + 1))
    assert 0 < order.index(1) < 10


def test_a_turn_begins_no_more_jobs_than_there_are_places(start, monkeypatch):
    begun = [0]

    async def execute(*_: Any) -> Any:
        begun[-1] += 1
        return succeeded("null")

    def tick() -> None:
        begun.append(0)
        if len(begun) < 1000:
            asyncio.get_running_loop().call_soon(tick)

    monkeypatch.setattr(loop, "execute_async", execute)
    reports = start(make_loop, places=2)
    reports.run(tasks.anoop)
    gate = Event()
    reports.lane._call(gate.wait, LIMIT)
    reports.lane._call(tick)
    for number in range(2, 102):
        reports.lane.submit([(number, claimed(tasks.anoop))])
    gate.set()

    assert [reports.get().number for _ in range(100)] == list(range(2, 102))
    assert sum(begun) == 101
    assert max(begun) == 2


def test_a_job_that_never_waits_counts_for_all_places_as_none_ran_beside_it(start, monkeypatch):
    for signal in (task_started, task_finished):
        monkeypatch.setattr(signal, "receivers", [])  # they are called in another thread
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=count().__next__))
    reports = start(make_loop, places=50)

    assert reports.run(tasks.anoop).seconds == 50
    assert reports.run(tasks.yield_often, 1).seconds == 1


def test_connections_are_tidied_before_a_job_can_begin_that_may_use_them(start, monkeypatch):
    seen: list[str] = []
    done = Event()

    async def execute(*_: Any) -> Any:
        await sync_to_async(seen.append)("job")
        done.set()
        return succeeded("null")

    reports = start(make_loop)
    reports.run(aadd, 1)
    monkeypatch.setattr(loop, "reset_connections", lambda: seen.append("tidy"))
    monkeypatch.setattr(loop, "execute_async", execute)

    def both() -> None:
        reports.lane._tidy()
        reports.lane._begin(2, claimed(aadd, 1))

    reports.lane._dirty = True
    reports.lane._call(both)

    assert done.wait(LIMIT)
    assert seen == ["tidy", "job"]


# --- connections --------------------------------------------------------------------------


@pytest.fixture
def persistent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connections of new threads stay open between jobs."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_the_next_job_has_another_connection_than_a_task_interrupted_in_a_query(
    persistent, start_worker: StartWorker, how
):
    start_worker(0, threads=1, kill_grace_period=20)
    assert tasks.use_database.enqueue().wait(LIMIT).return_value[0] is False
    assert tasks.use_database.enqueue().wait(LIMIT).return_value[0] is True  # it is kept

    timeout = 0.2 if how == "timeout" else 600
    stuck = tasks.stay_in_query.using(timeout=timeout).enqueue()
    until(lambda: has_started(stuck))
    if how == "cancel":
        stuck.cancel()

    assert stuck.wait(LIMIT).state in {JobState.FAILED, JobState.CANCELLED}
    after = tasks.use_database.enqueue().wait(LIMIT)
    assert after.state == JobState.SUCCESSFUL, after.errors
    assert after.return_value == [False, 1, False, True]


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_ends_leaves_no_connection_open(persistent, start):
    made: list[Any] = []

    def remember(connection: Any, **_: Any) -> None:
        made.append(connection)

    connection_created.connect(remember)
    try:
        reports = start(make_threads)
        report = reports.run(tasks.use_database)
    finally:
        connection_created.disconnect(remember)
    assert report.outcome.state == JobState.SUCCESSFUL
    (theirs,) = made
    assert theirs.connection is not None

    reports.lane.stop()

    until(lambda: theirs.connection is None)


@pytest.mark.django_db(transaction=True)
def test_connections_that_are_too_broken_to_be_closed_harm_nobody(persistent, monkeypatch):
    connection.ensure_connection()
    close = connection.close

    def fail() -> None:
        close()
        raise Error("too broken")

    monkeypatch.setattr(connection, "close", fail)
    reset_connections(spoiled=True)

    assert connection.connection is None
