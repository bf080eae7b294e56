"""RecordingBackend: jobs are there to be looked at, and run only on demand."""

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


def test_nothing_runs_and_the_result_waits():
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


def test_only_the_signal_of_enqueueing_is_sent():
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


def test_waiting_says_that_it_would_never_end():
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


def test_recorded_jobs_run_on_demand_without_a_database():
    tasks.fan_out.enqueue(2)
    common.plain.enqueue("x")
    backport_tasks.index.enqueue("ABC")

    results = run_jobs()

    assert [result.task.func.__name__ for result in results] == [
        "fan_out", "plain", "index", "note", "note",
    ]  # fmt: skip
    assert tasks.calls == [0, 1]
    assert run_jobs() == []


def test_recorded_jobs_run_by_urgency():
    tasks.note.using(priority=-1).enqueue("later")
    tasks.anote.using(priority=5).enqueue("first")
    tasks.note.enqueue("second")

    run_jobs()

    assert tasks.calls == ["first", "second", "later"]


def test_recorded_jobs_of_one_queue_run():
    tasks.note.enqueue("default")
    tasks.note.using(queue_name="mail").enqueue("mail")

    run_jobs(queue_name="mail")

    assert tasks.calls == ["mail"]


def test_retries_wait_for_their_time_unless_asked_not_to():
    result = tasks.fail_twice.enqueue()

    (first,) = run_jobs()
    assert first.state == JobState.SCHEDULED
    assert len(first.errors) == 1
    (last,) = run_jobs(include_scheduled=True)

    assert last.id == result.id
    assert last.return_value == 3
    assert tasks.calls == [1, 2, 3]


def test_a_snoozed_job_does_not_use_up_an_attempt():
    tasks.snooze_then_fail_once.enqueue()

    (result,) = run_jobs(include_scheduled=True)

    assert result.return_value == "done"
    assert tasks.calls == [1, 1, 2]


def test_jobs_run_on_demand_in_async_code():
    async def scenario():
        await tasks.anote.aenqueue(1)
        await tasks.afan_out.aenqueue(1)
        return await arun_jobs()

    assert len(asyncio.run(scenario())) == 3
    assert tasks.calls == [1, 0]


def test_a_job_that_is_cancelled_while_it_runs_does_not_run_again():
    result = tasks.cancel_itself_and_retry.enqueue()

    (ended,) = run_jobs(include_scheduled=True)

    assert ended.id == result.id
    assert ended.state == JobState.CANCELLED
