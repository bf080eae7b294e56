"""Workers leave the jobs of paused tasks alone, and start them when the pause is over."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from offload import JobState, chain, paused_tasks, schedules
from offload.management.unfinished import describe_unfinished
from offload.models import Job, TaskPause
from tests import limited_tasks
from tests.schedules import tasks as scheduled
from tests.tasks import add, anything, fail_thrice, snooze_once
from tests.worker.conftest import StartWorker, has_started, until
from tests.worker.tasks import hold


def start_with_work(start_worker: StartWorker, **options: Any) -> None:
    """Start a worker, and wait until it has come to what was enqueued before."""
    start_worker(0, poll_interval=30, **options)
    anything.using(priority=-50).enqueue().wait(20)


def states(*results: Any) -> list[JobState]:
    return [JobState(Job.objects.get(pk=result.id).state) for result in results]


def test_a_worker_starts_the_jobs_of_a_task_once_it_is_resumed(start_worker: StartWorker) -> None:
    add.pause()
    limited_tasks.single.pause()
    results = [*add.enqueue_many([((1,), {})] * 20), limited_tasks.single.enqueue()]
    start_with_work(start_worker)
    until(lambda: states(*results) == [JobState.LIMITED] * 21)
    assert {job.fence for job in Job.objects.exclude(state=JobState.SUCCESSFUL)} == {0}

    add.resume()
    limited_tasks.single.resume()

    for result in results:
        result.wait(20)
        assert (result.state, result.attempts) == (JobState.SUCCESSFUL, 1)


def test_a_worker_starts_the_jobs_of_a_task_when_its_pause_ends(start_worker: StartWorker) -> None:
    task = paused_tasks.pause(add, until=timedelta(seconds=0.4))
    result = add.enqueue(1)
    start_worker(0, poll_interval=30)

    result.wait(20)

    assert result.started_at is not None
    assert task.paused_until is not None
    assert result.started_at >= task.paused_until


def test_a_worker_that_comes_later_puts_back_what_another_has_put_aside(
    start_worker: StartWorker,
) -> None:
    add.pause()
    result = add.enqueue(1)
    start_worker(0, drain=True).join()
    assert states(result) == [JobState.LIMITED]
    add.resume()

    start_worker(0, drain=True).join()

    assert states(result) == [JobState.SUCCESSFUL]


def test_a_new_worker_puts_back_jobs_of_which_the_pause_was_deleted(
    start_worker: StartWorker,
) -> None:
    add.pause()
    result = add.enqueue(1)
    start_worker(0, drain=True).join()
    assert states(result) == [JobState.LIMITED]
    TaskPause.objects.all().delete()

    start_worker(0, drain=True).join()

    assert states(result) == [JobState.SUCCESSFUL]


def test_an_idle_worker_puts_back_what_another_has_put_aside(start_worker: StartWorker) -> None:
    start_worker(0, poll_interval=1, queues=["mail"])
    anything.using(queue_name="mail").enqueue().wait(20)
    add.pause()
    paused = add.enqueue(1)
    start_worker(0, drain=True, queues=["default"]).join()
    assert states(paused) == [JobState.LIMITED]

    add.resume()

    until(lambda: states(paused) == [JobState.READY])


def test_a_running_job_goes_on_and_no_further_one_starts(
    start_worker: StartWorker, gate: Path
) -> None:
    running = hold.enqueue(str(gate))
    start_worker(0, threads=8)
    until(lambda: has_started(running))

    hold.pause()

    def is_left() -> bool:
        """Return whether a new job is left for as long as another takes."""
        job = hold.enqueue(str(gate))
        anything.using(priority=-50).enqueue().wait(20)
        return not has_started(job)

    until(is_left)
    gate.touch()
    running.wait(20)
    assert states(running) == [JobState.SUCCESSFUL]
    assert Job.objects.filter(state=JobState.LIMITED).exists()


def test_a_failed_attempt_of_a_paused_task_is_retried_after_the_pause(
    start_worker: StartWorker,
) -> None:
    fail_thrice.pause()
    retried, snoozed = fail_thrice.enqueue(), snooze_once.enqueue()
    snooze_once.pause()
    start_with_work(start_worker)

    snooze_once.resume()
    fail_thrice.resume()

    retried.wait(20)
    snoozed.wait(20)
    assert (states(retried), retried.attempts) == ([JobState.FAILED], 3)
    assert states(snoozed) == [JobState.SUCCESSFUL]


def test_a_schedule_ticks_while_its_task_is_paused_and_the_jobs_wait(
    start_worker: StartWorker,
) -> None:
    add.pause()
    waits = add.enqueue(1)
    scheduled.note.pause()
    stored = schedules.create("often", scheduled.note, every=timedelta(seconds=1))
    start_worker(0, poll_interval=1)
    until(lambda: Job.objects.filter(schedule="often").exists())

    stored.delete()
    scheduled.note.resume()

    until(lambda: not Job.objects.filter(schedule="often", finished_at=None).exists())
    until(lambda: states(waits) == [JobState.LIMITED])
    add.resume()
    until(lambda: not Job.objects.exclude(state=JobState.SUCCESSFUL).exists())


def test_a_workflow_goes_on_when_the_task_of_a_part_is_resumed(start_worker: StartWorker) -> None:
    add.pause()
    result = chain(add.partial(1), add.partial(2), anything.partial()).enqueue()
    start_with_work(start_worker)
    assert result.state == JobState.BLOCKED

    add.resume()

    result.wait(20)
    assert result.state == JobState.SUCCESSFUL


def test_a_cancelled_workflow_ends_although_a_part_is_put_aside(start_worker: StartWorker) -> None:
    add.pause()
    result = chain(add.partial(1), anything.partial()).enqueue()
    start_with_work(start_worker)

    result.cancel()

    result.wait(20)
    assert result.state == JobState.CANCELLED


def test_a_job_that_was_put_aside_expires_if_the_pause_lasts_too_long(
    start_worker: StartWorker,
) -> None:
    add.pause(until=timedelta(seconds=0.5))
    result = add.using(expires=0.1).enqueue(1)
    start_with_work(start_worker)

    result.wait(20)

    assert result.state == JobState.EXPIRED


def test_a_drain_leaves_paused_tasks_and_says_so(start_worker: StartWorker) -> None:
    anything.enqueue()
    add.enqueue_many([((1,), {})] * 3)
    add.pause(reason="Bug 17", changed_by="ada")

    start_worker(0, drain=True).join()

    text = describe_unfinished("default", "default")
    assert "3 limited" in text
    assert "Task tests.tasks.add is paused by ada: Bug 17." in text


def test_several_workers_put_aside_and_back_each_job_once(start_worker: StartWorker) -> None:
    add.pause()
    paused = add.enqueue_many([((number,), {}) for number in range(300)])
    others = anything.enqueue_many([((number,), {}) for number in range(100)])
    for _ in range(3):
        start_worker(0, poll_interval=1)
    for result in others:
        result.wait(30)
    assert not Job.objects.filter(pk__in=[job.id for job in paused]).exclude(fence=0).exists()

    add.resume()

    for result in paused:
        result.wait(30)
    assert set(Job.objects.values_list("state", "fence")) == {(JobState.SUCCESSFUL, 1)}
