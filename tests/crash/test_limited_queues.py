"""Limits of queues while workers are killed: never more jobs at once, and no slot is lost."""

from __future__ import annotations

from offload import queues
from tests.crash import tasks
from tests.crash.overlaps import claims, count_ends, executions, most_at_once
from tests.crash.scenario import Scenario
from tests.crash.test_limits import CUSTOMERS

JOBS = 40


def test_killed_workers_neither_exceed_the_limit_of_a_queue_nor_lose_its_slots(
    scenario: Scenario,
) -> None:
    queues.limit("slow", concurrency=3)
    for number in range(JOBS):
        task = (tasks.busy, tasks.limited)[number // 3 % 2]
        token = scenario.enqueue(task, CUSTOMERS[number % len(CUSTOMERS)], queue_name="slow")
        scenario.limit_worker_losses(token, 10)
    scenario.start(processes=0, threads=5, failpoint="queues.locked:kill@4")
    scenario.wait_for_failpoint()
    second = scenario.start(processes=0, threads=5)
    scenario.start(processes=0, threads=5)
    scenario.wait_for(lambda: count_ends(scenario) >= JOBS // 2, "half of the jobs finish")
    second.kill()
    scenario.wait_until_finished()

    scenario.judge()
    queue_names = dict.fromkeys(scenario.accepted.values(), "slow")
    assert most_at_once(claims(), queue_names)["slow"] == 3
    assert most_at_once(executions(scenario), queue_names)["slow"] <= 3
