"""Workers that freeze for longer than their lease, and resume."""

from __future__ import annotations

import signal

import psutil
import pytest
from django.db import connection, transaction

from offload.lifecycle import JobState
from offload.models import Worker
from tests.crash import tasks
from tests.crash.processes import Process, resume, state_of
from tests.crash.scenario import Scenario


def freeze(scenario: Scenario, worker: Process) -> Process:
    """Freeze a worker's process, not its children; return a second worker that rescued its jobs."""
    (old,) = Worker.objects.filter(pid=worker.pid)
    worker.send(signal.SIGSTOP)
    second = scenario.start(threads=8)
    scenario.wait_for(lambda: not Worker.objects.filter(pk=old.pk).exists(), "the lease expires")
    return second


def test_late_outcomes_of_a_frozen_worker_are_refused(scenario: Scenario) -> None:
    worker = scenario.start(threads=8)
    tokens = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(3)]
    if connection.vendor != "sqlite":  # on SQLite no other worker could write meanwhile
        tokens.append(scenario.enqueue(tasks.effect_wait_for, scenario.path("gate")))
    scenario.wait_until_started(*tokens)
    second = freeze(scenario, worker)
    scenario.wait_until_started(*tokens, times=2)
    scenario.open("gate")
    scenario.wait_until_finished()  # in the second worker
    worker.send(signal.SIGCONT)
    scenario.wait_for(lambda: "Discarded outcomes" in worker.output, "the outcomes are refused")
    scenario.wait_for(lambda: "No heartbeat for" in worker.output, "the first worker logs why")
    assert second.stop() == 0
    scenario.enqueue_mix()  # for the first worker, under its new id
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge()
    assert all(scenario.job(token).worker_losses == 1 for token in tokens)


def test_a_rescued_job_is_stopped_in_the_old_worker_and_not_cancelled(scenario: Scenario) -> None:
    worker = scenario.start(threads=8)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    second = freeze(scenario, worker)
    scenario.wait_until_started(token, times=2)
    worker.send(signal.SIGCONT)
    scenario.wait_for(lambda: "No heartbeat for" in worker.output, "the first worker notices")
    scenario.wait_for(
        lambda: "Discarded outcomes" in worker.output, "the first worker stops its copy of the job"
    )
    assert scenario.state(token) == JobState.RUNNING
    scenario.open("gate")
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    assert second.stop() == 0, second.output
    scenario.judge()


@pytest.mark.parametrize("held_by", ["SIGSTOP", "C code", "an async task"])
def test_jobs_that_a_child_does_not_start_run_in_another_and_only_there(
    scenario: Scenario, held_by: str
) -> None:
    """Its worker still sends heartbeats, so the running job stays with it, however slow it is."""
    worker = scenario.start(processes=2, threads=4, lease=600.0)
    gate = scenario.path("gate")
    if held_by == "SIGSTOP":
        slow = scenario.enqueue(tasks.wait_for, gate)
        frozen = psutil.Process(scenario.process_of(slow))
        frozen.suspend()
    else:
        slow = scenario.enqueue(
            tasks.hold_interpreter_for if held_by == "C code" else tasks.ahold_loop_for, gate
        )
        frozen = psutil.Process(scenario.process_of(slow))
    with transaction.atomic():  # one claim, dealt to both children
        others = [
            scenario.enqueue(task)
            for task in (tasks.anote, tasks.once, tasks.note, tasks.aonce)
            for _ in range(8)
        ]
    scenario.wait_until_finished(*others)
    assert f"Child process {frozen.pid} has started no async job" in worker.output
    assert not scenario.have_finished(slow)
    scenario.open("gate")
    frozen.resume()
    scenario.wait_until_finished()
    more = [scenario.enqueue(tasks.wait_for, scenario.path("second gate")) for _ in range(8)]
    scenario.wait_until_started(*more)  # which takes the threads of both children
    scenario.open("second gate")
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge()
    assert {scenario.job(token).worker_losses for token in scenario.accepted} == {0}
    if held_by != "an async task":
        assert frozen.pid not in {scenario.process_of(token) for token in others}


@pytest.mark.parametrize("then", ["the worker dies", "the child dies", "the child goes on"])
def test_jobs_are_not_lost_or_doubled_while_they_are_taken_back(
    scenario: Scenario, then: str
) -> None:
    action = "kill" if then == "the worker dies" else "stop"
    worker = scenario.start(threads=4, lease=600.0, failpoint=f"pool.taking_back:{action}")
    slow = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    child = psutil.Process(scenario.process_of(slow))
    child.suspend()
    others = [scenario.enqueue(task) for task in (tasks.note, tasks.once, tasks.anote)]
    scenario.wait_for_failpoint()
    scenario.open("gate")
    if then == "the worker dies":
        scenario.drain()
    else:
        scenario.wait_for(lambda: state_of(worker.pid) == "stopped", "the worker stands still")
        child.kill() if then == "the child dies" else child.resume()
        resume(worker.pid)
        scenario.wait_until_finished()
        assert worker.stop() == 0, worker.output
        assert {scenario.job(token).worker_losses for token in others} == {0}
    scenario.judge()
