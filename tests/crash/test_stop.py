"""Stopping a worker: running jobs finish and waiting jobs are released."""

from __future__ import annotations

import os
import signal

import pytest

from offload.lifecycle import JobState
from offload.models import Worker
from tests.crash import tasks
from tests.crash.scenario import Scenario


@pytest.mark.parametrize("processes", [0, 2])
def test_running_jobs_finish_and_waiting_jobs_are_released(
    scenario: Scenario, processes: int
) -> None:
    worker = scenario.start(processes=processes, threads=1)
    running = [
        scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(processes or 1)
    ]
    scenario.wait_until_started(*running)
    waiting = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(3)]
    worker.send(signal.SIGTERM)
    scenario.open("gate")
    assert worker.wait() == 0
    assert {scenario.state(token) for token in running} == {JobState.SUCCESSFUL}
    for token in waiting:
        job = scenario.job(token)
        assert (job.state, job.attempt, job.worker_losses) == (JobState.READY, 0, 0)
    assert not Worker.objects.exists()
    scenario.drain()
    scenario.judge()


def test_a_job_that_exceeds_the_shutdown_timeout_is_released_with_its_attempt(
    scenario: Scenario,
) -> None:
    worker = scenario.start(shutdown_timeout=0.5)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    assert worker.stop() == 0, worker.output
    job = scenario.job(token)
    assert (job.state, job.attempt, job.worker_losses) == (JobState.READY, 0, 0)
    scenario.open("gate")
    scenario.drain()
    scenario.judge()
    assert scenario.job(token).attempt == 1


def test_a_second_signal_stops_the_worker_at_once(scenario: Scenario) -> None:
    worker = scenario.start(shutdown_timeout=600.0)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    once = scenario.enqueue(tasks.once_wait_for, scenario.path("gate"))
    scenario.wait_until_started(token, once)
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGINT)
    assert worker.wait() == 0, worker.output
    assert scenario.state(token) == JobState.READY
    assert scenario.state(once) == JobState.FAILED
    scenario.open("gate")
    scenario.drain()
    scenario.judge(may_fail=[once])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_process_group_stops_gracefully(
    scenario: Scenario, number: int
) -> None:
    """Ctrl-C in a terminal, and some supervisors, signal the children too."""
    worker = scenario.start(processes=2)
    tokens = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(4)]
    scenario.wait_until_started(*tokens)
    worker.family()
    os.killpg(worker.pid, number)
    scenario.open("gate")
    assert worker.wait() == 0, worker.output
    assert {scenario.state(token) for token in tokens} == {JobState.SUCCESSFUL}
    scenario.wait_for(lambda: not worker.survivors(), "all processes exit")
    scenario.judge()
    assert [len(scenario.started(token)) for token in tokens] == [1] * 4


def test_jobs_of_a_claim_whose_response_was_lost_are_released(scenario: Scenario) -> None:
    """The worker does not know that it holds them: it crashes right after the commit."""
    tokens = [scenario.enqueue(task) for task in (tasks.note, tasks.once, tasks.effect)]
    worker = scenario.start(threads=4, failpoint="exchange.committed:raise")
    assert worker.wait() != 0
    for token in tokens:
        job = scenario.job(token)
        assert (job.state, job.fence, job.attempt, job.worker_losses) == (JobState.READY, 1, 0, 0)
    scenario.drain()
    scenario.judge()
