"""`apply`, and `CELERY_TASK_ALWAYS_EAGER`."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from offload.celery import current_app
from offload.celery.exceptions import EncodeError, TaskRevokedError
from offload.celery.result import AsyncResult, EagerResult
from offload.models import Job
from tests.celery import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def eager(settings: Any) -> None:
    settings.CELERY_TASK_ALWAYS_EAGER = True


def test_delay_runs_the_task_at_once_without_a_job():
    result = tasks.add.delay(1, y=2)

    assert isinstance(result, EagerResult)
    assert (result.state, result.get(), result.ready()) == ("SUCCESS", 3, True)
    assert not Job.objects.exists()


def test_the_setting_is_read_at_each_call(settings):
    settings.CELERY_TASK_ALWAYS_EAGER = False

    assert not isinstance(tasks.add.delay(1), EagerResult)


def test_a_status_view_finds_a_task_that_ran_eagerly():
    result = tasks.add.delay(1, 2)

    assert (AsyncResult(result.id).state, AsyncResult(result.id).result) == ("SUCCESS", 3)


def test_an_exception_is_returned_by_the_result():
    result = tasks.fail.delay("no")

    assert (result.state, repr(result.result)) == ("FAILURE", "ValueError('no')")
    assert "ValueError: no" in result.traceback
    with pytest.raises(ValueError, match="no"):
        result.get()


def test_an_exception_is_raised_by_the_call_if_the_project_wants_it(settings):
    settings.CELERY_TASK_EAGER_PROPAGATES = True

    with pytest.raises(ValueError, match="no"):
        tasks.fail.delay("no")
    with pytest.raises(ValueError, match="no"):
        tasks.fail.apply(("no",))
    assert tasks.fail.apply(("no",), throw=False).failed()


def test_arguments_are_those_that_a_worker_would_get():
    assert tasks.echo.delay((1, 2)).get() == [[[1, 2]], {}]
    with pytest.raises(EncodeError):
        tasks.echo.delay(object())


def test_retries_run_at_once():
    assert tasks.retry_until.delay(2).get() == 2
    assert repr(tasks.retry_until.delay(9).result) == "OutOfStock('attempt 2')"
    assert tasks.retry_by_itself.delay(1).get() == 1


def test_an_async_task_runs():
    assert tasks.aadd.delay(1, 2).get() == 3


def test_an_async_task_cannot_run_in_an_event_loop():
    async def call() -> None:
        tasks.aadd.delay(1, 2)

    result = tasks.aadd.apply((1, 2))
    assert result.get() == 3
    with pytest.raises(RuntimeError, match="would block the event loop"):
        async_to_sync(call)()


def test_an_ignored_task_has_ended():
    result = tasks.ignore.delay()

    assert (result.state, result.get(), result.ready()) == ("IGNORED", None, True)


def test_a_task_that_would_be_put_back_ends_as_rejected():
    tasks.events.clear()
    result = tasks.reject.apply_async((True,), link=tasks.note.s(), link_error=tasks.note.si())

    assert (result.state, result.get()) == ("REJECTED", None)
    assert tasks.events == ["requeued"]


def test_an_ignored_task_raises_nothing_also_if_exceptions_are_raised(settings):
    settings.CELERY_TASK_EAGER_PROPAGATES = True

    assert tasks.ignore.delay().state == "IGNORED"


def test_the_request_is_eager():
    about = tasks.about.apply_async((1,), task_id="mine", headers={"x": 1}).get()

    assert (about["id"], about["is_eager"], about["headers"]) == ("mine", True, {"x": 1})


def test_a_task_may_wait_for_another_that_runs_eagerly():
    other = tasks.add.delay(1)

    assert tasks.join.delay(other.id).get() == 1


def test_revoking_replaces_the_outcome():
    result = tasks.add.delay(1)
    result.revoke()

    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get()


def test_send_task_enqueues_also_then():
    assert not isinstance(current_app.send_task("double it", (1,)), EagerResult)
    assert Job.objects.count() == 1


def test_the_oldest_tasks_are_forgotten(monkeypatch):
    monkeypatch.setattr("offload.celery.result.eager_snapshots.MAX_KEPT", 2)
    results = [tasks.add.delay(n) for n in range(4)]

    assert [AsyncResult(result.id).exists() for result in results] == [False, False, True, True]
