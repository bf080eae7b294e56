"""Workers that freeze for longer than their lease, and resume."""

from __future__ import annotations

import signal

import psutil
from django.db import connection

from offload.lifecycle import JobState
from offload.models import Worker
from tests.crash import tasks
from tests.crash.processes import Process
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


def test_a_frozen_child_does_not_block_other_children(scenario: Scenario) -> None:
    """Its worker still sends heartbeats, so the jobs stay with it, however slow they are."""
    worker = scenario.start(processes=2, threads=1, lease=600.0)
    slow = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.wait_until_started(slow)
    frozen = psutil.Process(scenario.process_of(slow))
    frozen.suspend()
    others = [scenario.enqueue(tasks.note) for _ in range(20)]
    scenario.wait_until_finished(*others)
    scenario.open("gate")
    frozen.resume()
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge()
