"""Pauses of tasks while workers are killed and started anew: no job of a paused task starts."""

from __future__ import annotations

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash import execution_log, tasks
from tests.crash.scenario import Scenario

KILLS = 4


def test_restarted_workers_leave_a_paused_task_alone(scenario: Scenario) -> None:
    tasks.busy.pause()
    tasks.limited.pause()
    paused = [scenario.enqueue(tasks.busy, "a", priority=50) for _ in range(40)]
    paused += [scenario.enqueue(tasks.limited, customer, priority=50) for customer in "abcd" * 10]
    for number in range(KILLS):
        others = [scenario.enqueue(tasks.note) for _ in range(10)]
        for token in others:  # each kill may meet the same job
            scenario.limit_worker_losses(token, 2 * KILLS + 1)
        workers = [scenario.start(processes=number % 2) for _ in range(2)]
        scenario.wait_until_started(others[0])
        workers[0].kill()
        scenario.wait_until_started(*others)
        paused.append(scenario.enqueue(tasks.busy, "a", priority=50))
        workers[1].kill()
    worker = scenario.start()

    def are_put_aside() -> bool:
        return all(scenario.state(token) == JobState.LIMITED for token in paused)

    scenario.wait_for(are_put_aside, "all jobs of paused tasks are put aside")
    assert not execution_log.by_token(scenario.log, "start").keys() & set(paused)
    ids = [scenario.accepted[token] for token in paused]
    assert not Job.objects.filter(pk__in=ids).exclude(fence=0).exists()
    tasks.busy.resume()
    tasks.limited.resume()
    worker.kill()

    scenario.drain()

    scenario.judge()
