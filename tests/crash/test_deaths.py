"""Processes that die: a child, the fork server, the worker, all of them."""

from __future__ import annotations

import os
import resource
import signal
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from offload.lifecycle import JobState
from offload.models import Attempt, Job
from tests.crash import execution_log, tasks
from tests.crash.memory_limit import memory_limit
from tests.crash.scenario import Scenario

MEBIBYTE = 1024**2


def test_jobs_of_a_killed_child_run_again_at_once(scenario: Scenario) -> None:
    """The worker notices the death; no lease has to expire."""
    worker = scenario.start(processes=2, lease=600.0)
    tokens = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(4)]
    scenario.wait_until_started(*tokens)
    victim = scenario.process_of(tokens[0])
    on_victim = [t for t in tokens if f"/{victim}/" in scenario.started(t)[0].value]
    os.kill(victim, signal.SIGKILL)
    scenario.wait_until_started(*on_victim, times=2)
    scenario.open("gate")
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge()
    assert {t: scenario.job(t).worker_losses for t in tokens} == {
        t: int(t in on_victim) for t in tokens
    }


def test_children_that_are_replaced_after_some_jobs_lose_and_repeat_none(
    scenario: Scenario,
) -> None:
    """Some of them are killed meanwhile, also while they run their last jobs."""
    worker = scenario.start("--max-jobs-per-child", "4", processes=2)
    gates = [scenario.path(f"gate{n}") for n in range(2)]
    for gate in gates:
        scenario.enqueue_mix(3)
        last = scenario.enqueue(tasks.wait_for, gate)
        scenario.enqueue_mix(3)
        victim = scenario.process_of(last)
        os.kill(victim, signal.SIGKILL)
        Path(gate).touch()
    scenario.wait_until_finished()
    assert worker.stop() == 0
    verdict = scenario.judge()
    processes = {entry.value.split("/")[2] for entry in execution_log.read(scenario.log)}
    assert len(processes) >= len(scenario.accepted) / 4, verdict


@pytest.mark.parametrize("how", ["segfault", "abort", "exit", "kill"])
def test_a_task_that_exits_its_process_is_lost_not_successful(scenario: Scenario, how: str) -> None:
    """`os._exit(0)` does not count as success either."""
    worker = scenario.start(lease=600.0)
    token = scenario.enqueue(tasks.die_first, how)
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge()
    assert scenario.job(token).worker_losses == 1
    attempt = Attempt.objects.get(job_id=scenario.accepted[token])
    assert attempt.exception_class_path == "offload.exceptions.WorkerLost"
    cause = {"segfault": "SIGSEGV", "abort": "SIGABRT", "exit": "exit code 0", "kill": "SIGKILL"}
    assert cause[how] in attempt.message


def test_a_drain_waits_for_the_jobs_of_a_killed_worker(scenario: Scenario) -> None:
    victim = scenario.start(threads=1)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    often_lost = {"worker_losses": 2, "max_worker_losses": 9}  # it runs again within 4 seconds
    Job.objects.filter(pk=scenario.accepted[token]).update(**often_lost)
    later = tasks.note.using(run_after=timedelta(hours=1)).enqueue("later")
    drain = scenario.start("--drain", processes=0)
    own = scenario.enqueue(tasks.wait_for, scenario.path("own"))
    scenario.wait_until_started(own)

    victim.kill()
    scenario.open("own")
    scenario.open("gate")

    assert drain.wait() == 0, drain.output
    assert scenario.have_finished(token, own), drain.output
    scenario.judge()
    assert "1 scheduled for later (default: 1)" in drain.output
    assert Job.objects.get(pk=later.id).state == JobState.SCHEDULED


def test_no_process_outlives_its_killed_worker(scenario: Scenario) -> None:
    worker = scenario.start(processes=2)
    tokens = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(4)]
    scenario.wait_until_started(*tokens)
    assert len(worker.family()) >= 4
    worker.send(signal.SIGKILL)
    worker.wait()
    scenario.wait_for(lambda: not worker.survivors(), "the children exit", seconds=10)
    scenario.open("gate")
    scenario.drain()
    scenario.judge()


def test_a_child_blocked_in_c_code_does_not_outlive_its_killed_worker(scenario: Scenario) -> None:
    """The kernel must kill it: it cannot notice, and its job would run twice at once."""
    worker = scenario.start()
    token = scenario.enqueue(tasks.hold_interpreter, 60)
    scenario.wait_until_started(token)
    worker.family()
    worker.send(signal.SIGKILL)
    worker.wait()
    scenario.wait_for(lambda: not worker.survivors(), "the child exits", seconds=10)


def test_a_process_forked_by_a_task_runs_no_jobs_and_dies_with_its_worker(
    scenario: Scenario,
) -> None:
    worker = scenario.start(threads=1)
    for _ in range(3):
        scenario.enqueue(tasks.fork)
        scenario.enqueue(tasks.afork)
        for _ in range(20):
            scenario.enqueue(tasks.once)
            scenario.enqueue(tasks.aonce)
    scenario.wait_until_finished()
    worker.family()
    worker.send(signal.SIGKILL)
    worker.wait()
    scenario.wait_for(lambda: not worker.survivors(), "the children and copies exit", seconds=10)
    scenario.judge()


def test_a_killed_fork_server_is_replaced(scenario: Scenario) -> None:
    worker = scenario.start(processes=2, lease=600.0)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    worker.family()
    server = worker.fork_server()
    children = worker.children()
    server.kill()
    scenario.wait_for(
        lambda: not any(map(psutil.Process.is_running, children)), "the children exit"
    )
    scenario.wait_until_started(token, times=2)
    scenario.open("gate")
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge()


def test_killing_every_process_at_once_needs_no_cleanup(scenario: Scenario) -> None:
    workers = [scenario.start(), scenario.start()]
    gated = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(4)]
    scenario.wait_until_started(*gated)
    scenario.enqueue_mix()
    for worker in workers:
        worker.kill()
    scenario.open("gate")
    scenario.drain()
    scenario.judge()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_jobs_of_a_killed_worker_are_rescued_at_once_on_the_same_host(scenario: Scenario) -> None:
    """The kernel releases the host lock, so no lease has to expire."""
    worker = scenario.start(lease=600.0)
    token = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    second = scenario.start(lease=600.0)
    worker.kill()
    scenario.wait_until_started(token, times=2)
    scenario.open("gate")
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert second.stop() == 0
    scenario.judge()
    assert scenario.job(token).worker_losses == 1


def test_a_child_out_of_memory_is_killed_alone(scenario: Scenario) -> None:
    """The kernel kills it where control groups are permitted; elsewhere the test does."""
    worker = scenario.start(threads=1, lease=600.0)
    child = psutil.Process(scenario.process_of(scenario.enqueue(tasks.note)))
    with memory_limit() as limit:
        if limit is not None:
            limit.apply(child.pid, 64 * MEBIBYTE)
        token = scenario.enqueue(tasks.eat_memory, 500)
        scenario.wait_until_started(token)
        if limit is None:
            child.kill()
        scenario.enqueue_mix()
        scenario.wait_until_finished()
        assert limit is None or limit.kills == 1
        assert worker.stop() == 0
    scenario.judge()
    assert scenario.job(token).worker_losses == 1


def test_a_memory_error_fails_the_job_and_not_the_process(scenario: Scenario) -> None:
    worker = scenario.start(threads=1)
    child = psutil.Process(scenario.process_of(scenario.enqueue(tasks.note)))
    used = child.memory_info().vms
    child.rlimit(resource.RLIMIT_AS, (used + 200 * MEBIBYTE, used + 200 * MEBIBYTE))
    token = scenario.enqueue(tasks.eat_memory, 1000)
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert child.is_running()
    assert worker.stop() == 0
    assert scenario.state(token) == JobState.FAILED
    assert Attempt.objects.get(job_id=scenario.accepted[token]).exception_class_path.endswith(
        "MemoryError"
    )
    scenario.judge(may_fail=[token])
