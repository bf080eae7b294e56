"""A drain waits for the jobs that run again soon, and leaves the others."""

from __future__ import annotations

from datetime import timedelta

from offload import JobState
from offload.models import Job
from tests.tasks import add
from tests.worker import tasks
from tests.worker.conftest import StartWorker, has_started, until


def test_a_drain_waits_for_retries_and_leaves_what_runs_later(start_worker: StartWorker) -> None:
    retried = tasks.retry_once.enqueue(0.5)
    left = [
        add.using(run_after=timedelta(minutes=1)).enqueue(1),
        tasks.raise_retry.enqueue(61),
        tasks.snooze.enqueue(5),
        add.using(queue_name="mail").enqueue(2),
    ]

    running = start_worker(0, drain=True, queues=["default"])
    running.join()

    assert running.engine.is_drained
    assert Job.objects.get(pk=retried.id).state == JobState.SUCCESSFUL
    assert Job.objects.filter(pk__in=[result.id for result in left], finished_at=None).count() == 4


def test_a_drain_does_not_wait_for_a_retry_that_was_cancelled(start_worker: StartWorker) -> None:
    result = tasks.retry_once.enqueue(3)
    running = start_worker(0, drain=True)
    until(lambda: Job.objects.get(pk=result.id).state == JobState.SCHEDULED)

    result.cancel()

    running.join()
    assert running.engine.is_drained
    assert Job.objects.get(pk=result.id).state == JobState.CANCELLED


def test_a_drain_that_is_stopped_is_not_drained(start_worker: StartWorker, gate) -> None:
    result = tasks.hold.enqueue(str(gate))
    running = start_worker(0, drain=True)
    until(lambda: has_started(result))

    running.stop(at_once=True)

    assert not running.engine.is_drained
