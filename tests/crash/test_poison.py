"""Jobs that kill their process, and jobs that must never run twice."""

from __future__ import annotations

import os
import signal

from offload.lifecycle import JobState
from offload.models import Attempt
from tests.crash import tasks
from tests.crash.scenario import Scenario


def test_a_poison_job_fails_after_max_worker_losses_and_others_finish(scenario: Scenario) -> None:
    poison = scenario.enqueue(tasks.die, "segfault")
    scenario.limit_worker_losses(poison, 1)
    scenario.enqueue_mix(3)
    worker = scenario.start(threads=1)
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge(may_fail=[poison])
    job = scenario.job(poison)
    assert (job.state, job.worker_losses) == (JobState.FAILED, 2)
    assert len(scenario.started(poison)) == 2
    failures = Attempt.objects.filter(job_id=job.pk).order_by("fence")
    assert [f.exception_class_path for f in failures] == ["offload.exceptions.WorkerLost"] * 2
    assert "giving up" in failures[1].message


def test_a_job_does_not_fail_because_other_jobs_kill_its_process(scenario: Scenario) -> None:
    """The last time that it may run, it runs alone."""
    worker = scenario.start(threads=4, lease=600.0)
    neighbour = scenario.enqueue(tasks.wait_for, scenario.path("gate"))
    scenario.limit_worker_losses(neighbour, 1)
    scenario.wait_until_started(neighbour)
    poison = []
    for count in range(2):
        poison += [scenario.enqueue(tasks.die, how) for how in ("kill", "exit")]
        for token in poison[-2:]:
            scenario.limit_worker_losses(token, 1)
        scenario.wait_until_finished(*poison)
        scenario.wait_until_started(neighbour, times=2)
        assert len(scenario.started(neighbour)) == 2, count
    scenario.open("gate")
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge(may_fail=poison)
    assert (scenario.state(neighbour), scenario.job(neighbour).worker_losses) == (
        JobState.SUCCESSFUL,
        1,
    )
    assert {scenario.job(token).worker_losses for token in poison} == {2}


def test_a_poison_job_fails_even_if_it_kills_whole_workers(scenario: Scenario) -> None:
    """Each worker dies with it, as when a machine runs out of memory."""
    poison = scenario.enqueue(tasks.wait_for, scenario.path("never"))
    scenario.limit_worker_losses(poison, 1)
    for times in (1, 2):
        worker = scenario.start()
        scenario.wait_until_started(poison, times=times)
        worker.kill()
    worker = scenario.start()
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge(may_fail=[poison])
    assert len(scenario.started(poison)) == 2


def test_an_at_most_once_job_does_not_run_again_after_its_child_died(scenario: Scenario) -> None:
    worker = scenario.start(lease=600.0)
    token = scenario.enqueue(tasks.once_wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    os.kill(scenario.process_of(token), signal.SIGKILL)
    scenario.wait_until_finished()
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0
    scenario.judge(may_fail=[token])
    assert scenario.state(token) == JobState.FAILED
    failure = Attempt.objects.get(job_id=scenario.accepted[token])
    assert failure.exception_class_path == "offload.exceptions.WorkerLost"


def test_an_at_most_once_job_does_not_run_again_after_its_worker_died(scenario: Scenario) -> None:
    worker = scenario.start()
    token = scenario.enqueue(tasks.once_wait_for, scenario.path("gate"))
    scenario.wait_until_started(token)
    worker.kill()
    scenario.open("gate")
    scenario.drain()
    scenario.judge(may_fail=[token])
    assert scenario.state(token) == JobState.FAILED
    assert len(scenario.started(token)) == 1
