"""The event loop gives each job its turn."""

from __future__ import annotations

import asyncio
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from offload import JobState
from offload.lifecycle import succeeded
from offload.worker.runners import event_loop as module
from tests.tasks import aadd
from tests.worker import tasks
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import LIMIT, make_event_loop


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


def test_more_reports_follow_while_nearly_all_slots_run_jobs(start, gate):
    harness = start(make_event_loop, slots=8)
    numbers = harness.submit(*(claimed(tasks.ahold, str(gate)) for _ in range(7)), claimed(aadd, 1))

    report = harness.report()
    gate.touch()
    next_report = harness.report()

    assert (report.number, report.more_follow) == (numbers[-1], True)
    assert not next_report.more_follow
