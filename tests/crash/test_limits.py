"""Limits while workers are killed: never more jobs at once, and no slot is lost."""

from __future__ import annotations

from offload.models import LimitNotice
from tests.crash import tasks
from tests.crash.overlaps import claims, count_ends, executions, most_at_once
from tests.crash.scenario import Scenario

CUSTOMERS = "abc"
JOBS = 60
KILLS = 3


def test_killed_workers_neither_exceed_a_limit_nor_lose_its_slots(scenario: Scenario) -> None:
    customers = {}
    for number in range(JOBS):
        customer = CUSTOMERS[number % len(CUSTOMERS)]
        token = scenario.enqueue(tasks.limited, customer)
        customers[scenario.accepted[token]] = customer
        scenario.limit_worker_losses(token, 10)
    workers = [scenario.start(processes=0, threads=5) for _ in range(2)]
    for kill in range(KILLS):
        finished = (kill + 1) * JOBS // (KILLS + 3)
        scenario.wait_for(lambda: count_ends(scenario) >= finished, f"{finished} jobs finish")  # noqa: B023
        workers.pop(0).kill()
        workers.append(scenario.start(processes=0, threads=5))
    scenario.wait_until_finished()

    scenario.judge()
    for steps in (list(claims()), list(executions(scenario))):
        of_customers = most_at_once(steps, customers)
        assert max(of_customers.values()) <= 2, of_customers
        of_all = most_at_once(steps, dict.fromkeys(customers, "all"))
        assert of_all["all"] <= 5, of_all
    # A job that has finished may leave one to the next look of a worker.
    scenario.wait_for(lambda: not LimitNotice.objects.exists(), "workers take all notices")
