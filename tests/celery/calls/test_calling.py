"""Calling tasks: `delay`, `apply_async`, and what their jobs are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.tasks.exceptions import InvalidTask

from offload.celery import Celery, current_app
from offload.celery.exceptions import EncodeError, NotRegistered
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def job_of(result: AsyncResult) -> Job:
    return Job.objects.get(pk=result.id)


def test_delay_makes_a_job_that_any_page_can_show():
    result = tasks.add.delay(2, y=3)

    job = job_of(result)
    assert (job.task_path, job.queue_name) == ("tests.celery.tasks.add", "default")
    assert result.job.kwargs == {"y": 3}
    assert [ran.return_value for ran in run_jobs()] == [5]
    assert result.get() == 5


def test_a_task_stays_a_function():
    assert tasks.add(2, 3) == 5
    assert tasks.about()["called_directly"] is True


def test_an_async_task_runs():
    result = tasks.aadd.delay(1, 2)
    run_jobs()

    assert result.get() == 3


def test_a_call_that_does_not_fit_the_function_is_an_error_of_the_caller():
    with pytest.raises(TypeError, match="add"):
        tasks.add.delay()
    with pytest.raises(TypeError):
        tasks.retry_until.delay(1, 2)  # bound: the task itself does not count

    assert not Job.objects.exists()


@pytest.mark.parametrize("is_eager", [False, True])
def test_text_in_place_of_arguments_is_refused(settings, is_eager):
    settings.CELERY_TASK_ALWAYS_EAGER = is_eager
    with pytest.raises(TypeError, match="args must be a list or tuple, not 'abc'"):
        tasks.echo.apply_async("abc")
    with pytest.raises(TypeError, match="args must be a list or tuple"):
        current_app.send_task(tasks.echo.name, {"x": 1})
    with pytest.raises(TypeError, match="keyword arguments must be a mapping"):
        tasks.echo.apply_async((), ["x"])

    assert not Job.objects.exists()


def test_the_options_of_a_task_become_those_of_its_job():
    job = job_of(tasks.with_options.delay())

    assert (job.queue_name, job.priority, job.timeout) == ("mail", 70, 30)
    assert job.max_worker_losses == 0
    assert job.limit_key
    assert job.expires_at is not None
    assert abs(job.expires_at - job.enqueued_at - timedelta(seconds=60)) < timedelta(seconds=5)


def test_the_options_of_a_call_precede_those_of_its_task():
    options: dict[str, Any] = {"queue": "slow", "priority": 0, "time_limit": 7, "countdown": 60}
    job = job_of(tasks.with_options.apply_async(**options))

    assert (job.queue_name, job.priority, job.timeout) == ("slow", 0, 7)
    assert job.run_after > job.enqueued_at


@pytest.mark.parametrize(("priority", "ours"), [(None, 0), (0, 0), (5, 50), (9, 90), (255, 90)])
def test_higher_priorities_come_first(priority, ours):
    assert job_of(tasks.add.apply_async((1,), priority=priority)).priority == ours


def test_a_naive_eta_is_in_the_time_zone_of_celery():
    eta = datetime(2036, 1, 2, 3, 4)  # noqa: DTZ001

    assert job_of(tasks.add.apply_async((1,), eta=eta)).run_after == eta.replace(tzinfo=UTC)


def test_a_task_that_expires_before_it_may_start_never_runs():
    result = tasks.add.apply_async((1,), countdown=100, expires=1)
    run_jobs(include_scheduled=True)

    assert result.state in {"REVOKED", "SUCCESS"}
    job = job_of(result)
    assert job.expires_at - job.run_after == timedelta(microseconds=1)


def test_a_soft_limit_beyond_the_hard_one_is_refused():
    with pytest.raises(ValueError, match="soft_time_limit"):
        tasks.add.apply_async((1,), soft_time_limit=5, time_limit=2)


def test_options_about_messages_are_ignored(caplog):
    caplog.set_level("DEBUG", "offload.celery")
    tasks.add.apply_async((1,), retry=True, serializer="json", exchange="x")

    assert "exchange, retry, serializer" in caplog.text


def test_delay_on_commit_returns_the_id_at_once():
    result = tasks.add.delay_on_commit(1)

    assert job_of(result)
    assert str(result) == result.id


@pytest.mark.parametrize(
    "task_id", ["6d368d70-7c84-4af7-b952-1aa02fa26bd1", "import-2026-11", "a" * 300]
)
def test_the_caller_may_choose_the_id(task_id):
    result = tasks.about.apply_async(task_id=task_id)
    run_jobs()

    assert result.id == task_id
    assert AsyncResult(task_id).get()["id"] == task_id


def test_an_id_is_taken_until_its_task_has_ended():
    tasks.add.apply_async((1,), task_id="mine")

    with pytest.raises(ValueError, match=r"'mine' already, whose state is PENDING.*unique="):
        tasks.add.apply_async((2,), task_id="mine")
    with pytest.raises(ValueError, match=r"'mine' already, whose state is PENDING.*unique="):
        tasks.add.apply_async((2,), task_id="mine", link=tasks.note.s())

    assert Job.objects.count() == 1  # the transaction goes on


@pytest.mark.parametrize("outcome", ["success", "failure", "revoked"])
def test_the_id_of_a_task_that_has_ended_is_free_again(outcome):
    task = tasks.fail if outcome == "failure" else tasks.about
    first = task.apply_async(task_id="mine")
    if outcome == "revoked":
        first.revoke()
    run_jobs()
    assert first.ready()

    second = tasks.add.apply_async((2,), task_id="mine")
    assert second.state == "PENDING"
    run_jobs()

    assert second.get() == 2
    assert Job.objects.count() == 1


def test_the_id_of_a_task_that_has_ended_is_free_for_a_linked_one():
    tasks.add.apply_async((1,), task_id="mine")
    run_jobs()
    tasks.add.apply_async((2,), task_id="mine", link=tasks.same.s())
    run_jobs()

    assert AsyncResult("mine").get() == 2
    with pytest.raises(ValueError, match="part of a workflow"):
        tasks.add.apply_async((3,), task_id="mine")


def test_an_enqueue_that_fails_keeps_the_task_with_its_id():
    first = tasks.add.apply_async((1,), task_id="mine")
    run_jobs()

    with pytest.raises(InvalidTask):
        tasks.add.apply_async((2,), task_id="mine", queue="unknown")

    assert first.get() == 1


def test_a_task_is_found_by_its_name():
    app = Celery("tests", set_as_current=False)
    result = app.send_task("double it", args=[4])
    run_jobs()

    assert result.get() == 8
    assert result.name == "double it"


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(NotRegistered, match="Did you mean 'double it'"):
        current_app.send_task("dubble it")


def test_the_request_says_how_the_task_was_called():
    result = tasks.about.apply_async((1,), headers={"tenant": "blue"}, priority=3)
    run_jobs()

    assert result.get() == {
        "id": result.id,
        "retries": 0,
        "delivery_info": {
            "exchange": "",
            "routing_key": "default",
            "priority": 3,
            "redelivered": False,
        },
        "root_id": result.id,
        "parent_id": None,
        "is_eager": False,
        "args": [1],
        "kwargs": {},
        "headers": {"tenant": "blue"},
        "called_directly": False,
        "task": "tests.celery.tasks.about",
    }


@pytest.mark.parametrize("task", [tasks.call_another, tasks.call_another_directly])
def test_a_task_knows_which_one_has_called_it(task):
    result = task.delay(1)
    run_jobs()

    other = AsyncResult(result.get()).get()
    assert (other["parent_id"], other["root_id"]) == (result.id, result.id)
    assert [child.id for child in result.children] == [result.get()]


def test_a_value_that_json_does_not_have_is_refused_with_its_place():
    with pytest.raises(EncodeError, match=r"args\[0\]\['x'\] has the key 1 of type int"):
        tasks.echo.delay({"x": {1: 2}})
    with pytest.raises(EncodeError, match=r"kwargs\['tags'\] is of type set"):
        tasks.echo.delay(tags={1})


def test_a_class_with_its_own_call_is_called_once():
    tasks.events.clear()
    result = tasks.called.delay(1)
    run_jobs()

    assert result.get() == [1, result.id]
    assert tasks.events == [("__call__", True)]


def test_shared_task_refuses_a_task():
    from offload.celery import shared_task  # noqa: PLC0415

    with pytest.raises(TypeError, match="is a task already"):
        shared_task(tasks.add)
