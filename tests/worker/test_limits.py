"""Workers run jobs with a limit: at once, beside other jobs, and until none is left."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from offload import JobState
from offload.models import Job
from tests import limited_tasks
from tests.tasks import add
from tests.worker.conftest import RunningWorker, StartWorker, has_started, until


def test_a_job_with_a_limit_runs_and_frees_its_slot(worker: RunningWorker) -> None:
    results = limited_tasks.single.enqueue_many([((), {})] * 5)

    for result in results:
        result.wait(20)

    assert {result.state for result in results} == {JobState.SUCCESSFUL}


def test_an_async_job_with_a_limit_runs(worker: RunningWorker) -> None:
    result = limited_tasks.asingle.enqueue()
    result.wait(20)
    assert result.state == JobState.SUCCESSFUL


def test_a_job_with_a_limit_is_not_held_up_by_others(start_worker: StartWorker) -> None:
    add.enqueue_many([((number,), {}) for number in range(3000)])
    result = limited_tasks.single.enqueue()
    start_worker(0, threads=2)

    result.wait(20)

    assert Job.objects.filter(state=JobState.READY).exists()


def test_other_jobs_are_not_held_up_by_those_with_a_limit(start_worker: StartWorker) -> None:
    limited_tasks.fair.enqueue_many([((str(number),), {}) for number in range(1000)])
    result = add.enqueue(1)
    start_worker(0, threads=2)

    result.wait(20)

    assert Job.objects.filter(state=JobState.LIMITED).exists()


def test_a_job_that_waits_for_its_limit_starts_when_a_slot_is_free(
    start_worker: StartWorker, processes: int, gate: Path
) -> None:
    start_worker(processes)
    first, second = limited_tasks.one_at_a_time.enqueue_many([((str(gate),), {})] * 2)
    until(lambda: has_started(first))
    assert Job.objects.get(pk=second.id).state == JobState.LIMITED
    gate.touch()

    second.wait(20)

    assert second.state == JobState.SUCCESSFUL


def test_a_scheduled_job_waits_in_its_line_when_it_is_due(start_worker: StartWorker) -> None:
    result = limited_tasks.single.using(run_after=timedelta(seconds=0.3)).enqueue()
    assert result.state == JobState.SCHEDULED
    start_worker(0)

    result.wait(20)

    assert result.state == JobState.SUCCESSFUL


def test_a_drain_runs_jobs_with_a_limit_and_leaves_those_of_other_queues(
    start_worker: StartWorker,
) -> None:
    own = limited_tasks.single.enqueue_many([((), {})] * 3)
    other = limited_tasks.single.using(queue_name="mail").enqueue()
    rated = limited_tasks.twice_a_second.enqueue_many([((), {})] * 3)
    worker = start_worker(0, queues=["default"], drain=True)

    worker.join()

    for result in (*own, *rated):
        result.refresh()
        assert result.state == JobState.SUCCESSFUL
    other.refresh()
    assert other.state == JobState.LIMITED


def test_a_retried_job_takes_a_slot_again(start_worker: StartWorker) -> None:
    result = limited_tasks.fails_once.enqueue(timezone.now().isoformat())
    start_worker(0)

    result.wait(20)

    assert (result.state, result.attempts) == (JobState.SUCCESSFUL, 2)


def test_jobs_with_a_limit_run_on_while_others_are_waiting(start_worker: StartWorker) -> None:
    limited_tasks.fair.enqueue_many([((str(number % 2),), {}) for number in range(100)])
    add.enqueue_many([((number,), {}) for number in range(3000)])
    worker = start_worker(0, threads=2, drain=True)

    worker.join()

    assert not Job.objects.exclude(state=JobState.SUCCESSFUL).exists()
    fair = Job.objects.filter(task_path=limited_tasks.fair.module_path)
    last_fair = fair.latest("finished_at").finished_at
    assert Job.objects.filter(finished_at__gt=last_fair).count() > 1000


def test_a_job_whose_row_is_deleted_while_it_runs_frees_its_slot(
    start_worker: StartWorker, gate: Path
) -> None:
    start_worker(0)
    first, second = limited_tasks.one_at_a_time.enqueue_many([((str(gate),), {})] * 2)
    until(lambda: has_started(first))
    Job.objects.filter(pk=first.id).delete()
    gate.touch()

    second.wait(20)

    assert second.state == JobState.SUCCESSFUL
