"""RecordingBackend records jobs; run_jobs runs them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.tasks import TaskResultStatus
from django.tasks.signals import task_enqueued, task_started

from offload import InvalidJobState, JobState, OffloadError
from offload.testing import arun_jobs, enqueued_jobs, run_jobs
from tests import backport_tasks
from tests import tasks as common
from tests.testing import tasks

pytestmark = pytest.mark.usefixtures("offload_recording")


def test_no_task_runs_and_the_result_is_ready():
    result = tasks.note.enqueue(1)

    assert tasks.calls == []
    assert result.status == TaskResultStatus.READY
    assert tasks.note.get_result(result.id).status == TaskResultStatus.READY
    assert tasks.note.get_result(result.id).args == [1]


def test_all_ways_of_enqueueing_are_recorded_in_order():
    first = tasks.note.enqueue(1)
    second = async_to_sync(tasks.note.aenqueue)(2)
    third, fourth = tasks.note.enqueue_many([((3,), {}), ((4,), {})])

    assert [job.id for job in enqueued_jobs()] == [first.id, second.id, third.id, fourth.id]


def test_enqueue_in_async_code_is_refused_as_in_production():
    async def enqueue() -> None:
        tasks.note.enqueue(1)

    with pytest.raises(SynchronousOnlyOperation, match="aenqueue"):
        asyncio.run(enqueue())


def test_a_deferred_job_is_scheduled():
    result = tasks.note.using(run_after=timedelta(hours=1)).enqueue()

    assert result.status == TaskResultStatus.READY
    assert tasks.note.get_result(result.id).state == JobState.SCHEDULED


def test_only_task_enqueued_is_sent():
    sent = []

    def receive(signal, **_):
        sent.append(signal)

    task_enqueued.connect(receive)
    task_started.connect(receive)
    try:
        tasks.note.enqueue()
    finally:
        task_enqueued.disconnect(receive)
        task_started.disconnect(receive)

    assert sent == [task_enqueued]


def test_waiting_for_a_job_that_no_worker_runs_is_an_error():
    result = tasks.note.enqueue()

    with pytest.raises(OffloadError, match=r"run_jobs\(\)"):
        result.wait(timeout=10)
    with pytest.raises(OffloadError, match=r"run_jobs\(\)"):
        async_to_sync(result.wait_async)()


def test_a_waiting_job_can_be_cancelled_and_then_retried():
    result = tasks.note.enqueue()

    result.cancel()
    assert result.state == JobState.CANCELLED
    assert result.errors[0].exception_class.__name__ == "JobCancelled"
    with pytest.raises(InvalidJobState):
        result.cancel()
    assert run_jobs() == []

    result.retry()
    assert [job.state for job in run_jobs()] == [JobState.SUCCESSFUL]


def test_run_jobs_runs_recorded_jobs_without_a_database():
    tasks.fan_out.enqueue(2)
    common.plain.enqueue("x")
    backport_tasks.index.enqueue("ABC")

    results = run_jobs()

    assert [result.task.func.__name__ for result in results] == [
        "fan_out", "plain", "index", "note", "note",
    ]  # fmt: skip
    assert tasks.calls == [0, 1]
    assert run_jobs() == []


def test_run_jobs_runs_the_most_urgent_jobs_first():
    tasks.note.using(priority=-1).enqueue("later")
    tasks.anote.using(priority=5).enqueue("first")
    tasks.note.enqueue("second")

    run_jobs()

    assert tasks.calls == ["first", "second", "later"]


def test_run_jobs_runs_the_jobs_of_one_queue():
    tasks.note.enqueue("default")
    tasks.note.using(queue_name="mail").enqueue("mail")

    run_jobs(queue_name="mail")

    assert tasks.calls == ["mail"]


def test_run_jobs_runs_all_attempts_of_a_job_at_once():
    result = tasks.fail_twice.enqueue()

    (returned,) = run_jobs()

    assert returned.id == result.id
    assert returned.return_value == 3
    assert len(returned.errors) == 2
    assert tasks.calls == [1, 2, 3]


def test_run_jobs_runs_deferred_jobs_only_with_include_scheduled():
    tasks.note.using(run_after=timedelta(hours=2)).enqueue("later")
    tasks.note.using(run_after=timedelta(hours=1)).enqueue("sooner")

    assert run_jobs() == []
    assert len(run_jobs(include_scheduled=True)) == 2
    assert tasks.calls == ["sooner", "later"]


def test_run_jobs_raises_errors_with_raise_errors():
    common.fail.enqueue("broken")
    tasks.note.enqueue("next")

    with pytest.raises(ValueError, match="broken"):
        run_jobs(raise_errors=True)

    assert len(run_jobs()) == 1
    assert tasks.calls == ["next"]


def test_run_jobs_reports_endless_jobs():
    tasks.enqueue_itself.enqueue()

    with pytest.raises(
        AssertionError, match=r"After 20 attempts .*enqueue_itself is still waiting"
    ):
        run_jobs(limit=20)


def test_a_snoozed_job_does_not_use_up_an_attempt():
    tasks.snooze_then_fail_once.enqueue()

    (result,) = run_jobs()

    assert result.return_value == "done"
    assert tasks.calls == [1, 1, 2]


def test_arun_jobs_runs_recorded_jobs():
    async def scenario():
        await tasks.anote.aenqueue(1)
        await tasks.afan_out.aenqueue(1)
        return await arun_jobs()

    assert len(asyncio.run(scenario())) == 3
    assert tasks.calls == [1, 0]


def test_a_job_that_is_cancelled_while_running_is_not_retried():
    result = tasks.cancel_itself_and_retry.enqueue()

    (returned,) = run_jobs()

    assert returned.id == result.id
    assert returned.state == JobState.CANCELLED
