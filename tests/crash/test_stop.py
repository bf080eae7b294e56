"""Stopping a worker in order: what runs may end, the rest is handed back."""

from __future__ import annotations

import os
import signal

import pytest

from offload.lifecycle import JobState
from offload.models import Worker
from tests.crash import tasks
from tests.crash.world import World


@pytest.mark.parametrize("processes", [0, 2])
def test_running_jobs_may_end_and_waiting_ones_are_handed_back(
    world: World, processes: int
) -> None:
    worker = world.start(processes=processes, threads=1)
    running = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(processes or 1)]
    world.wait_until_begun(*running)
    waiting = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(3)]
    worker.send(signal.SIGTERM)
    world.open("gate")
    assert worker.wait() == 0
    assert {world.state(token) for token in running} == {JobState.SUCCESSFUL}
    for token in waiting:
        job = world.job(token)
        assert (job.state, job.attempt, job.worker_losses) == (JobState.READY, 0, 0)
    assert not Worker.objects.exists()
    world.drain()
    world.judge()


def test_a_job_that_does_not_end_in_time_is_handed_back_with_its_attempt(world: World) -> None:
    worker = world.start(shutdown_timeout=0.5)
    token = world.enqueue(tasks.wait_for, world.path("gate"))
    world.wait_until_begun(token)
    assert worker.stop() == 0, worker.output
    job = world.job(token)
    assert (job.state, job.attempt, job.worker_losses) == (JobState.READY, 0, 0)
    world.open("gate")
    world.drain()
    world.judge()
    assert world.job(token).attempt == 1


def test_a_second_signal_ends_the_wait(world: World) -> None:
    worker = world.start(shutdown_timeout=600.0)
    token = world.enqueue(tasks.wait_for, world.path("gate"))
    once = world.enqueue(tasks.once_wait_for, world.path("gate"))
    world.wait_until_begun(token, once)
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGINT)
    assert worker.wait() == 0, worker.output
    assert world.state(token) == JobState.READY
    assert world.state(once) == JobState.FAILED
    world.open("gate")
    world.drain()
    world.judge(may_fail=[once])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_process_group_stops_in_order(world: World, number: int) -> None:
    """Ctrl-C in a terminal, and some supervisors, signal the children too."""
    worker = world.start(processes=2)
    tokens = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(4)]
    world.wait_until_begun(*tokens)
    worker.family()
    os.killpg(worker.pid, number)
    world.open("gate")
    assert worker.wait() == 0, worker.output
    assert {world.state(token) for token in tokens} == {JobState.SUCCESSFUL}
    world.wait_for(lambda: not worker.survivors(), "all processes end")
    world.judge()
    assert [len(world.begun(token)) for token in tokens] == [1] * 4


def test_jobs_of_a_claim_whose_answer_was_lost_are_handed_back(world: World) -> None:
    """The engine does not know that it holds them; `raise` ends it right after the commit."""
    tokens = [world.enqueue(task) for task in (tasks.note, tasks.once, tasks.effect)]
    worker = world.start(threads=4, failpoint="exchange.committed:raise")
    assert worker.wait() != 0
    for token in tokens:
        job = world.job(token)
        assert (job.state, job.fence, job.attempt, job.worker_losses) == (JobState.READY, 1, 0, 0)
    world.drain()
    world.judge()
