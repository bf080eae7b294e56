"""Pauses while workers are killed and started anew: no job of a paused queue starts."""

from __future__ import annotations

from offload import queues
from offload.lifecycle import JobState
from tests.crash import execution_log, tasks
from tests.crash.scenario import Scenario


def test_restarted_workers_leave_a_paused_queue_alone(scenario: Scenario) -> None:
    queues.pause("slow")
    paused = [scenario.enqueue(tasks.note, queue_name="slow", priority=50) for _ in range(20)]
    others = [scenario.enqueue(tasks.note) for _ in range(20)]
    worker = scenario.start(processes=0)
    scenario.wait_until_started(others[0])
    worker.kill()
    worker = scenario.start()
    for token in others:
        scenario.wait_until_started(token)
    assert not execution_log.by_token(scenario.log, "start").keys() & set(paused)
    assert {scenario.state(token) for token in paused} == {JobState.READY}
    worker.kill()
    queues.resume("slow")

    scenario.drain()

    scenario.judge()
