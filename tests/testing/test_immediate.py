"""ImmediateBackend runs jobs with the worker's executor when they are enqueued."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import IntegrityError
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test import override_settings
from django.utils import translation

from offload import InvalidArguments, InvalidJobState, JobState, OffloadTask
from offload.testing import ImmediateBackend, immediate
from offload.uuid7 import new_id
from tests import backport_tasks
from tests import tasks as common
from tests.testing import tasks

pytestmark = pytest.mark.usefixtures("offload_immediate")


@pytest.fixture
def raising(offload_immediate: None) -> Iterator[None]:
    with immediate(raise_errors=True):
        yield


def test_a_job_has_finished_when_enqueue_returns_without_a_query():
    result = tasks.note.enqueue((1, 2))

    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.state == JobState.SUCCESSFUL
    assert result.return_value == [1, 2]
    assert result.attempts == 1
    assert result.enqueued_at <= result.started_at <= result.finished_at


def test_an_async_task_runs():
    assert tasks.anote.enqueue({"a": 1}).return_value == {"a": 1}


def test_both_kinds_of_tasks_run_in_async_code():
    async def enqueue() -> list[Any]:
        return [await tasks.note.aenqueue(1), await tasks.anote.aenqueue(2)]

    assert [result.return_value for result in async_to_sync(enqueue)()] == [1, 2]


def test_enqueue_in_async_code_is_refused_as_in_production():
    async def enqueue() -> None:
        tasks.note.enqueue(1)

    with pytest.raises(SynchronousOnlyOperation, match="aenqueue"):
        async_to_sync(enqueue)()


def test_many_jobs_run_in_order():
    results = tasks.note.enqueue_many([((1,), {}), ((), {"value": 2})])

    assert tasks.calls == [1, 2]
    assert [result.return_value for result in results] == [1, 2]


def test_many_jobs_run_in_async_code():
    results = async_to_sync(tasks.note.aenqueue_many)([((1,), {}), ((2,), {})])

    assert [result.return_value for result in results] == [1, 2]


def test_the_arguments_make_a_round_trip_through_json():
    tasks.note.enqueue({1: (2,)})

    assert tasks.calls == [{"1": [2]}]


@pytest.mark.parametrize(("value", "error"), [(float("nan"), InvalidArguments), ({1}, TypeError)])
def test_arguments_that_production_refuses_are_refused(value, error):
    with pytest.raises(error):
        tasks.note.enqueue(value)
    assert tasks.calls == []


def test_a_queue_that_the_settings_lack_is_refused():
    with pytest.raises(InvalidTask, match="mial"):
        tasks.note.using(queue_name="mial")


def test_the_exception_of_a_task_is_the_jobs_error():
    result = common.fail.enqueue("broken")

    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert error.exception_class is ValueError
    assert error.traceback.startswith("Traceback")
    assert "ValueError: broken" in error.traceback
    assert "offload/testing" not in error.traceback


def test_a_result_that_is_not_json_fails_the_job():
    result = tasks.return_set.enqueue()

    assert result.errors[0].exception_class is TypeError


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("enqueue", [common.fail.enqueue, async_to_sync(common.fail.aenqueue)])
def test_errors_are_raised_with_raise_errors(enqueue: Callable[..., Any]):
    with pytest.raises(ValueError, match="broken") as caught:
        enqueue("broken")

    assert caught.traceback[-1].name == "fail"


@pytest.mark.usefixtures("raising")
def test_errors_that_the_task_did_not_raise_are_raised():
    with pytest.raises(TypeError, match="set"):
        tasks.return_set.enqueue()


@pytest.mark.usefixtures("raising")
def test_no_error_is_raised_if_a_later_attempt_succeeds():
    assert tasks.fail_twice.enqueue().return_value == 3


def test_all_attempts_run_without_waiting_for_the_backoff():
    result = tasks.fail_twice.enqueue()

    assert tasks.calls == [1, 2, 3]
    assert result.return_value == 3
    assert [error.exception_class for error in result.errors] == [ConnectionError] * 2
    assert result.attempts == 3


def test_a_job_whose_attempts_all_fail_has_failed():
    result = tasks.afail_always.enqueue()

    assert result.state == JobState.FAILED
    assert len(result.errors) == 2


def test_retry_and_snooze_run_the_task_again_at_once():
    assert tasks.retry_once.enqueue().return_value == "done"
    assert tasks.snooze_once.enqueue().return_value == "rested"


def test_a_job_that_snoozes_endlessly_is_an_error():
    with pytest.raises(AssertionError, match=r"snooze_always did not finish in 1000 attempts"):
        tasks.snooze_always.enqueue()


def test_a_deferred_job_runs_at_once():
    assert tasks.note.using(run_after=timedelta(days=1), priority=5).enqueue(1).return_value == 1


def test_the_result_can_be_read_in_another_thread():
    result = common.fail.enqueue()
    results: list[Any] = []

    thread = threading.Thread(target=lambda: results.append(common.fail.get_result(result.id)))
    thread.start()
    thread.join()

    assert results[0].status == TaskResultStatus.FAILED
    assert results[0].errors[0].exception_class is ValueError


def test_the_result_can_be_refreshed_and_awaited():
    result = tasks.note.enqueue(1)
    result.refresh()

    assert result.wait(timeout=0).return_value == 1


def test_an_unknown_id_is_not_found():
    with pytest.raises(TaskResultDoesNotExist):
        tasks.note.get_result(str(new_id()))


def test_a_finished_job_cannot_be_cancelled_but_a_failed_one_can_be_retried():
    succeeded, failed = tasks.note.enqueue(1), common.fail.enqueue()
    with pytest.raises(InvalidJobState):
        succeeded.cancel()
    with pytest.raises(InvalidJobState):
        succeeded.retry()

    failed.retry()

    assert failed.state == JobState.FAILED
    assert failed.attempts == 2


def test_djangos_signals_are_sent_in_order_by_the_backends_class():
    sent: list[Any] = []

    def receive(sender: Any, signal: Any, task_result: Any, **_: Any) -> None:
        sent.append((sender, signal, task_result.status))

    for signal in (task_enqueued, task_started, task_finished):
        signal.connect(receive)
    try:
        common.fail.enqueue()
    finally:
        for signal in (task_enqueued, task_started, task_finished):
            signal.disconnect(receive)

    assert sent == [
        (ImmediateBackend, task_enqueued, TaskResultStatus.READY),
        (ImmediateBackend, task_started, TaskResultStatus.RUNNING),
        (ImmediateBackend, task_finished, TaskResultStatus.FAILED),
    ]


def test_the_task_can_read_its_job():
    result = tasks.job_id.enqueue()

    assert result.return_value == result.id


@pytest.mark.django_db
@pytest.mark.parametrize("task", [tasks.import_rows, tasks.import_rows_atomically])
def test_a_job_has_its_last_progress(task):
    result = task.enqueue(3)

    assert result.state == JobState.SUCCESSFUL
    assert (result.progress.done, result.progress.total) == (3, 3)


def test_the_next_attempt_starts_without_progress():
    result = tasks.report_progress_once.enqueue()

    assert result.attempts == 2
    assert result.state == JobState.SUCCESSFUL
    assert result.progress is None


def test_the_task_does_not_inherit_the_callers_context():
    with translation.override("de"):
        assert tasks.language.enqueue().return_value == "en-us"
        assert translation.get_language() == "de"


def test_a_job_enqueued_by_a_job_runs():
    tasks.fan_out.enqueue(2)

    assert tasks.calls == [0, 1]


def test_a_job_enqueued_by_an_async_job_runs():
    assert tasks.afan_out.enqueue(2).status == TaskResultStatus.SUCCESSFUL
    assert tasks.calls == [0, 1]


def test_exceptions_that_stop_the_test_are_raised():
    with pytest.raises(pytest.fail.Exception):
        tasks.stop_the_test.enqueue()
    with pytest.raises(KeyboardInterrupt):
        tasks.astop_the_test.enqueue()


def test_a_task_that_exits_has_failed():
    assert tasks.exit_the_process.enqueue().errors[0].exception_class is SystemExit


@pytest.mark.django_db
def test_an_atomic_task_that_fails_is_rolled_back():
    assert tasks.add_user_or_fail.enqueue("ada", fail=True).state == JobState.FAILED
    assert not User.objects.exists()

    result = tasks.add_user_or_fail.enqueue("ada", fail=False)

    assert result.return_value == "ada"
    assert tasks.add_user_or_fail.get_result(result.id).state == JobState.SUCCESSFUL
    assert User.objects.get().username == "ada"


@pytest.mark.django_db(transaction=True)
def test_an_atomic_task_outside_of_a_transaction_commits():
    assert tasks.add_user_or_fail.enqueue("ada", fail=False).return_value == "ada"
    assert User.objects.get().username == "ada"


@pytest.mark.django_db
@pytest.mark.parametrize("task", [tasks.break_transaction, tasks.abreak_transaction])
def test_a_database_error_does_not_break_the_callers_transaction(task):
    User.objects.create(username="before")

    result = task.enqueue("twice")

    assert result.errors[0].exception_class is IntegrityError
    assert User.objects.filter(username="before").exists()


@pytest.mark.django_db
def test_on_commit_callbacks_of_the_task_run():
    tasks.note_on_commit.enqueue("kept")
    tasks.note_unless_rolled_back.enqueue("dropped")

    assert tasks.calls == ["kept"]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.0 has no keywords for backends")
def test_options_of_djangos_decorator_apply():
    result = tasks.with_djangos_decorator.enqueue()

    assert isinstance(tasks.with_djangos_decorator, OffloadTask)
    assert result.attempts == 3


def test_django_tasks_run():
    assert common.plain.enqueue("mail").return_value == "mail"
    assert common.plain_object.enqueue("four").return_value == 4
    assert common.send_later.enqueue("a@b.c").return_value == "sent to a@b.c"
    assert backport_tasks.index.enqueue("ABC").return_value == "abc"


def test_the_settings_may_name_it_with_the_options_of_production():
    options = {"raise_errors": True, "max_attempts": 2}
    path = "offload.testing.ImmediateBackend"
    with override_settings(TASKS={"default": {"BACKEND": path, "OPTIONS": options}}):
        backend: Any = task_backends["default"]
        with pytest.raises(ValueError, match="no"):
            common.fail.enqueue()

        assert backend.settings.max_attempts == 2
        assert list(backend.check()) == []


def test_an_unknown_option_is_an_error():
    path = "offload.testing.ImmediateBackend"
    with override_settings(TASKS={"default": {"BACKEND": path, "OPTIONS": {"raise_error": True}}}):
        assert [error.id for error in task_backends["default"].check()] == ["offload.E001"]
        with pytest.raises(ImproperlyConfigured, match="raise_error"):
            tasks.note.enqueue()
