"""Jobs that kill whoever runs them, and jobs that must never run twice."""

from __future__ import annotations

import os
import signal

from offload.lifecycle import JobState
from offload.models import Attempt
from tests.crash import tasks
from tests.crash.world import World


def test_a_poison_job_is_stopped_after_max_lost_and_others_go_on(world: World) -> None:
    poison = world.enqueue(tasks.die, "segfault")
    world.limit_losses(poison, 1)
    world.enqueue_mix(3)
    worker = world.start(threads=1)
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge(may_fail=[poison])
    job = world.job(poison)
    assert (job.state, job.worker_losses, job.fence) == (JobState.FAILED, 2, 2)
    assert len(world.begun(poison)) == 2
    failures = Attempt.objects.filter(job_id=job.pk).order_by("fence")
    assert [f.exception_class_path for f in failures] == ["offload.exceptions.WorkerLost"] * 2
    assert "not run again" in failures[1].message


def test_a_poison_job_is_stopped_although_it_kills_whole_engines(world: World) -> None:
    """Each engine dies with it, as when a machine runs out of memory."""
    poison = world.enqueue(tasks.wait_for, world.path("never"))
    world.limit_losses(poison, 1)
    for times in (1, 2):
        worker = world.start()
        world.wait_until_begun(poison, times=times)
        worker.kill()
    worker = world.start()
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge(may_fail=[poison])
    assert len(world.begun(poison)) == 2


def test_an_at_most_once_job_whose_worker_died_is_not_run_again(world: World) -> None:
    worker = world.start(lease=600.0)
    token = world.enqueue(tasks.once_wait_for, world.path("gate"))
    world.wait_until_begun(token)
    os.kill(world.runner_of(token), signal.SIGKILL)
    world.wait_until_ended()
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge(may_fail=[token])
    assert world.state(token) == JobState.FAILED
    failure = Attempt.objects.get(job_id=world.accepted[token])
    assert failure.exception_class_path == "offload.exceptions.WorkerLost"


def test_an_at_most_once_job_whose_engine_died_is_not_run_again(world: World) -> None:
    worker = world.start()
    token = world.enqueue(tasks.once_wait_for, world.path("gate"))
    world.wait_until_begun(token)
    worker.kill()
    world.open("gate")
    world.drain()
    world.judge(may_fail=[token])
    assert world.state(token) == JobState.FAILED
    assert len(world.begun(token)) == 1
