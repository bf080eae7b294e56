"""The event loop gives each job its turn, and keeps shared connections clean."""

from __future__ import annotations

import asyncio
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.tasks.signals import task_finished, task_started

from offload import JobState
from offload.lifecycle import succeeded
from offload.worker.runners import event_loop as module
from tests.tasks import aadd
from tests.worker import tasks
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import LIMIT, make_event_loop


@pytest.fixture
def without_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disconnect the receivers of Django's signals, which would be called in another thread."""
    for signal in (task_started, task_finished):
        monkeypatch.setattr(signal, "receivers", [])


def test_an_async_job_that_other_code_cancelled_is_reported(start, monkeypatch):
    harness = start(make_event_loop)

    async def cancelled(*_: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(module, "execute_async", cancelled)
        first = harness.run(aadd, 1)

    assert first.outcome.state == JobState.FAILED
    assert harness.run(aadd, 1).outcome.state == JobState.SUCCESSFUL


@pytest.mark.usefixtures("without_receivers")
def test_jobs_that_never_wait_give_the_others_their_turn(start):
    harness = start(make_event_loop, slots=2)
    numbers = harness.submit(
        claimed(tasks.yield_often, 3), *(claimed(tasks.anoop) for _ in range(100))
    )

    order = [harness.report().number for _ in numbers]

    assert sorted(order) == numbers
    assert 0 < order.index(numbers[0]) < 10


def test_one_turn_starts_no_more_jobs_than_slots_were_free(start, monkeypatch):
    started_per_turn = [0]
    gate = Event()

    def tick() -> None:
        started_per_turn.append(0)
        if len(started_per_turn) < 1000:
            asyncio.get_running_loop().call_soon(tick)

    async def execute(job: Any, *_: Any) -> Any:
        if job.task_path == aadd.module_path:  # holds up the loop while jobs are submitted
            tick()
            gate.wait(LIMIT)
        else:
            started_per_turn[-1] += 1
        return succeeded("null")

    monkeypatch.setattr(module, "execute_async", execute)
    harness = start(make_event_loop, slots=2)
    numbers = harness.submit(claimed(aadd))
    for _ in range(100):
        numbers += harness.submit(claimed(tasks.anoop))
    gate.set()

    assert [harness.report().number for _ in numbers] == numbers
    assert sum(started_per_turn) == 100
    assert max(started_per_turn) == 2


@pytest.mark.usefixtures("without_receivers")
def test_a_job_that_never_waits_counts_for_all_slots_as_no_other_ran_beside_it(start, monkeypatch):
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=count().__next__))
    harness = start(make_event_loop, slots=50)

    assert harness.run(tasks.anoop).run_seconds == 50
    assert harness.run(tasks.yield_often, 1).run_seconds == 1


def test_connections_are_cleaned_before_a_job_can_start_that_may_use_them(start, monkeypatch):
    order: list[str] = []
    done = Event()

    async def execute(*_: Any) -> Any:
        await sync_to_async(order.append)("job")
        done.set()
        return succeeded("null")

    harness = start(make_event_loop)
    harness.run(aadd, 1)
    runner = harness.runner
    monkeypatch.setattr(module, "reset_connections", lambda: order.append("cleanup"))
    monkeypatch.setattr(module, "execute_async", execute)

    def clean_up_and_start_job() -> None:
        runner._clean_up()
        runner._start_job(2, claimed(aadd, 1))

    runner._needs_cleanup = True
    runner._call_in_loop(clean_up_and_start_job)

    assert done.wait(LIMIT)
    assert order == ["cleanup", "job"]
