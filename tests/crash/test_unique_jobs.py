"""Unique jobs while processes are killed: no key stays behind, and none has two jobs."""

from __future__ import annotations

import pytest

from offload.models import Job
from tests.crash import tasks
from tests.crash.overlaps import claims, count_ends, executions, most_at_once
from tests.crash.scenario import Scenario
from tests.models import Effect

SHOPS = "abc"
KILLS = 3
RUNS = 8
"""Jobs that end between two kills."""


def test_killed_workers_neither_leave_a_key_behind_nor_run_two_jobs_of_one(
    scenario: Scenario,
) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        for shop in SHOPS:
            calls += 1
            token = f"{shop}{calls}"
            result = tasks.unique.enqueue(token, shop)
            if result.is_new:
                scenario.accepted[token] = result.id
                scenario.limit_worker_losses(token, 10)

    workers = [scenario.start(processes=0, threads=5) for _ in range(2)]
    for kill in range(KILLS):

        def have_ended() -> bool:
            call()
            return count_ends(scenario) >= (kill + 1) * RUNS  # noqa: B023

        scenario.wait_for(have_ended, f"{(kill + 1) * RUNS} jobs end")
        workers.pop(0).kill()
        workers.append(scenario.start(processes=0, threads=5))
    scenario.wait_until_finished()

    scenario.judge()
    assert calls > len(scenario.accepted)
    assert not Job.objects.exclude(unique_key=None).exists()
    shops = {job: token[0] for token, job in scenario.accepted.items()}
    for steps in (claims(), executions(scenario)):
        assert set(most_at_once(steps, shops).values()) == {1}


@pytest.mark.parametrize("place", ["enqueue.key_found", "enqueue.replaced"])
def test_a_replaced_job_has_the_arguments_of_the_last_committed_call(
    scenario: Scenario, place: str
) -> None:
    process = scenario.run(
        ["-m", "tests.crash.enqueueing_process", "6", "replaced"],
        {
            **scenario.environment,
            "OFFLOAD_FAILPOINT": f"{place}:kill@2",
            "OFFLOAD_FAILPOINT_MARK": str(scenario.mark),
        },
    )
    process.wait()
    assert scenario.mark.exists()

    assert set(Effect.objects.values_list("token", flat=True)) == {"t0", "t1"}
    assert Job.objects.get().arguments == '[["t1"],{}]'
    assert tasks.replaced.enqueue("t9").args == ["t9"]
    Effect.objects.all().delete()
    scenario.accepted["t9"] = str(Job.objects.get().pk)
    scenario.drain()
    scenario.judge()
