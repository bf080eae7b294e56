"""run_jobs runs the jobs in the database, in the test's own thread and transaction."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, connection, transaction
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTaskBackend
from django.test import TestCase, TransactionTestCase, override_settings

from offload import JobState, task_modules
from offload.backends.database import DatabaseBackend
from offload.exceptions import JobError, JobExpired, TaskNotFound
from offload.models import Attempt, Job, Worker
from offload.testing import arun_jobs, run_jobs
from tests import backport_tasks
from tests import tasks as common
from tests.testing import tasks

pytestmark = pytest.mark.django_db


class InATestCase(TestCase):
    """Tests in a transaction that is never committed."""

    def test_jobs_run_in_the_same_transaction(self) -> None:
        result = tasks.add_user.enqueue("ada")

        (returned,) = run_jobs()

        result.refresh()
        assert result.status == returned.status == TaskResultStatus.SUCCESSFUL
        assert result.return_value == User.objects.get(username="ada").pk
        assert connection.in_atomic_block

    async def test_jobs_run_in_an_async_test(self) -> None:
        await tasks.aadd_user.aenqueue("ada")
        await tasks.add_user.aenqueue("bob")

        results = await arun_jobs()

        assert [result.state for result in results] == [JobState.SUCCESSFUL] * 2
        assert await User.objects.acount() == 2

    async def test_in_async_code_the_error_names_arun_jobs(self) -> None:
        with pytest.raises(SynchronousOnlyOperation, match="arun_jobs"):
            run_jobs()


class InATransactionTestCase(TransactionTestCase):
    """Tests outside any transaction, as on a worker."""

    def test_jobs_run(self) -> None:
        tasks.add_user.enqueue("ada")
        tasks.aadd_user.enqueue("bob")
        tasks.add_user_or_fail.enqueue("eve", fail=False)
        tasks.note_on_commit.enqueue("noted")

        results = run_jobs(raise_errors=True)

        assert len(results) == 5
        assert User.objects.count() == 3
        assert tasks.calls == ["noted"]
        assert not connection.in_atomic_block

    def test_statements_before_an_error_are_kept_as_on_a_worker(self) -> None:
        tasks.break_transaction.enqueue("ada")

        (result,) = run_jobs()

        assert result.errors[0].exception_class is IntegrityError
        assert User.objects.filter(username="ada").exists()

    async def test_jobs_run_in_an_async_test(self) -> None:
        await tasks.aadd_user.aenqueue("ada")

        (result,) = await arun_jobs()

        assert result.state == JobState.SUCCESSFUL


def test_no_jobs_are_no_error(run_jobs):
    assert run_jobs() == []


def test_jobs_run_in_order_of_urgency():
    tasks.note.using(priority=-1).enqueue("last")
    tasks.anote.enqueue("second")
    tasks.note.using(queue_name="mail").enqueue("third")
    tasks.note.using(priority=1).enqueue("first")

    results = run_jobs()

    assert tasks.calls == ["first", "second", "third", "last"]
    assert [result.return_value for result in results] == tasks.calls


def test_jobs_enqueued_by_jobs_run():
    tasks.fan_out.enqueue(3)
    tasks.afan_out.enqueue(1)

    assert len(run_jobs()) == 6
    assert tasks.calls == [0, 1, 2, 0]


def test_jobs_enqueued_on_commit_by_a_job_run():
    tasks.note_on_commit.enqueue("kept")
    tasks.note_unless_rolled_back.enqueue("dropped")

    results = run_jobs()

    assert tasks.calls == ["kept"]
    assert [result.state for result in results] == [
        JobState.SUCCESSFUL, JobState.FAILED, JobState.SUCCESSFUL,
    ]  # fmt: skip


def test_on_commit_callbacks_of_the_test_do_not_run(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        transaction.on_commit(tasks.note.enqueue)
        tasks.note_on_commit.enqueue("from the job")
        run_jobs()
        run_in_block = [callback for callback in callbacks if callback == tasks.note.enqueue]

    assert run_in_block == []
    assert tasks.calls == ["from the job"]
    assert tasks.note.enqueue in callbacks


def test_only_the_jobs_of_one_queue_run():
    tasks.note.enqueue("default")
    tasks.note.using(queue_name="mail").enqueue("mail")

    run_jobs(queue_name="mail")

    assert tasks.calls == ["mail"]


def test_an_unknown_queue_is_an_error():
    with pytest.raises(ValueError, match="Did you mean 'mail'"):
        run_jobs(queue_name="mial")


def test_only_the_jobs_of_one_backend_run():
    path = "offload.backends.database.DatabaseBackend"
    with override_settings(TASKS={"default": {"BACKEND": path}, "other": {"BACKEND": path}}):
        tasks.note.enqueue("default")
        tasks.note.using(backend="other").enqueue("other")

        run_jobs(backend="other")

    assert tasks.calls == ["other"]


def test_an_unknown_backend_and_one_of_another_package_are_errors():
    with pytest.raises(InvalidTaskBackend, match="other"):
        run_jobs(backend="other")
    path = "django.tasks.backends.dummy.DummyBackend"
    with (
        override_settings(TASKS={"default": {"BACKEND": path}}),
        pytest.raises(TypeError, match="DummyBackend"),
    ):
        run_jobs()


def test_errors_are_recorded_with_the_attempt():
    common.fail.enqueue("broken")

    (result,) = run_jobs()

    assert result.state == JobState.FAILED
    assert result.errors[0].exception_class is ValueError
    assert "ValueError: broken" in result.errors[0].traceback
    assert Attempt.objects.get().message == "broken"


def test_errors_are_raised_with_raise_errors_and_other_jobs_stay_ready():
    common.fail.enqueue("broken")
    waiting = [tasks.note.enqueue(1), tasks.anote.enqueue(2)]

    with pytest.raises(ValueError, match="broken"):
        run_jobs(raise_errors=True)

    assert [task.get_result(job.id).state for task, job in zip(
        [tasks.note, tasks.anote], waiting, strict=True
    )] == [JobState.READY] * 2  # fmt: skip
    assert len(run_jobs()) == 2
    assert {job.attempt for job in Job.objects.all()} == {1}


def test_errors_of_async_tasks_are_raised():
    tasks.afail_always.enqueue()

    with pytest.raises(ConnectionError, match="down"):
        run_jobs(raise_errors=True, include_scheduled=True)


def test_errors_that_no_task_raised_are_raised(monkeypatch):
    tasks.return_set.enqueue()
    with pytest.raises(TypeError, match="set"):
        run_jobs(raise_errors=True)

    tasks.note.using(expires=1).enqueue()
    Job.objects.filter(state=JobState.READY).update(expires_at=1)
    with pytest.raises(JobExpired, match="1970"):
        run_jobs(raise_errors=True)

    tasks.note.enqueue()
    Job.objects.filter(state=JobState.READY).update(task_path="tests.tasks.gone")
    with pytest.raises(TaskNotFound, match="gone"):
        run_jobs(raise_errors=True)

    tasks.note.enqueue()
    Job.objects.filter(state=JobState.READY).update(task_path="tests.testing.broken.task")
    with pytest.raises(JobError, match="ZeroDivisionError"):
        run_jobs(raise_errors=True)

    monkeypatch.setattr(task_modules, "_failures", {})  # an earlier test may have imported it
    monkeypatch.setattr(sys, "offload_test_exception", SystemExit("no"), raising=False)
    tasks.note.enqueue()
    Job.objects.filter(state=JobState.READY).update(task_path="tests.worker.unimportable.task")
    with pytest.raises(JobError, match="SystemExit"):
        run_jobs(raise_errors=True)


@pytest.mark.parametrize("task", [tasks.break_transaction, tasks.abreak_transaction])
def test_a_database_error_does_not_break_the_tests_transaction(task):
    User.objects.create(username="before")
    task.enqueue("twice")
    tasks.add_user.enqueue("after")

    results = run_jobs()

    assert [result.state for result in results] == [JobState.FAILED, JobState.SUCCESSFUL]
    assert results[0].errors[0].exception_class is IntegrityError
    assert set(User.objects.values_list("username", flat=True)) >= {"before", "after"}


def test_an_atomic_task_writes_its_result_with_its_effects():
    tasks.add_user_or_fail.enqueue("ada", fail=True)
    tasks.add_user_or_fail.enqueue("bob", fail=False)

    failed, succeeded = run_jobs()

    assert failed.state == JobState.FAILED
    assert succeeded.return_value == "bob"
    assert User.objects.get().username == "bob"


@pytest.mark.parametrize(
    "task", [tasks.import_rows, tasks.aimport_rows, tasks.import_rows_atomically]
)
def test_a_job_has_its_last_progress(task):
    task.enqueue(3)

    (result,) = run_jobs()

    assert result.state == JobState.SUCCESSFUL
    assert (result.progress.done, result.progress.total) == (3, 3)
    assert result.progress.message == "Importing"


def test_a_failed_job_has_its_last_progress():
    tasks.import_rows.enqueue(3, fail_at=2)

    (result,) = run_jobs()

    assert result.state == JobState.FAILED
    assert (result.progress.done, result.progress.percent) == (2, pytest.approx(66.67, abs=0.01))


def test_a_retry_is_scheduled():
    tasks.fail_twice.enqueue()

    (result,) = run_jobs()

    assert result.state == JobState.SCHEDULED
    assert result.status == TaskResultStatus.READY
    assert tasks.calls == [1]


def test_retries_run_with_include_scheduled():
    tasks.fail_twice.enqueue()
    tasks.afail_always.enqueue()
    tasks.retry_once.enqueue()

    results = run_jobs(include_scheduled=True)

    assert tasks.calls == [1, 2, 3]
    assert [result.state for result in results] == [
        JobState.SUCCESSFUL, JobState.FAILED, JobState.SUCCESSFUL,
    ]  # fmt: skip
    assert [result.attempts for result in results] == [3, 2, 2]
    assert [error.exception_class for error in results[0].errors] == [ConnectionError] * 2


def test_a_snoozed_job_runs_with_include_scheduled():
    tasks.snooze_once.enqueue()

    assert [result.state for result in run_jobs()] == [JobState.SCHEDULED]
    assert run_jobs(include_scheduled=True)[0].return_value == "rested"


def test_deferred_jobs_run_in_order_of_their_times_after_all_others():
    tasks.note.using(run_after=timedelta(hours=2)).enqueue("in two hours")
    tasks.note.using(run_after=timedelta(hours=1)).enqueue("in an hour")
    tasks.note.using(run_after=timedelta(hours=1), queue_name="mail").enqueue("mail")
    tasks.note.enqueue("now")

    run_jobs()
    assert tasks.calls == ["now"]
    run_jobs(include_scheduled=True, queue_name="default")

    assert tasks.calls == ["now", "in an hour", "in two hours"]
    assert Job.objects.get(queue_name="mail").state == JobState.SCHEDULED


def test_a_due_job_runs_although_no_worker_has_promoted_it():
    tasks.note.using(run_after=timedelta(hours=1)).enqueue("due")
    Job.objects.update(run_after=Job.objects.get().enqueued_at)

    run_jobs()

    assert tasks.calls == ["due"]


@pytest.mark.parametrize("task", [tasks.enqueue_itself, tasks.snooze_always])
def test_endless_jobs_are_a_clear_error(task):
    task.enqueue()

    with pytest.raises(AssertionError, match=rf"After 20 attempts .*{task.name} is still waiting"):
        run_jobs(limit=20)

    assert not Job.objects.filter(state=JobState.RUNNING).exists()


def test_the_limit_may_be_reached():
    tasks.note.enqueue_many([((number,), {}) for number in range(3)])

    assert len(run_jobs(limit=3)) == 3


def test_exceptions_that_stop_the_test_are_raised():
    tasks.stop_the_test.enqueue()
    with pytest.raises(pytest.fail.Exception):
        run_jobs()

    tasks.astop_the_test.enqueue()
    with pytest.raises(KeyboardInterrupt):
        run_jobs()


def test_a_cancelled_job_does_not_run():
    tasks.note.enqueue().cancel()

    assert run_jobs() == []


def test_a_job_that_is_cancelled_while_running_is_not_retried():
    tasks.cancel_itself_and_retry.enqueue()

    (result,) = run_jobs(include_scheduled=True)

    assert result.state == JobState.CANCELLED


def test_a_job_that_deletes_itself_is_not_returned():
    tasks.delete_all_jobs.enqueue()

    assert run_jobs() == []


def test_no_worker_stays_registered():
    tasks.note.enqueue()
    (result,) = run_jobs()

    assert UUID(result.worker_ids[0])
    assert not Worker.objects.exists()


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.0 has no keywords for backends")
def test_options_of_djangos_decorator_apply():
    tasks.with_djangos_decorator.enqueue()

    (result,) = run_jobs(include_scheduled=True)

    assert result.attempts == 3


def test_django_tasks_run():
    common.plain.enqueue("mail")
    common.plain_object.enqueue("four")
    common.send_later.enqueue("a@b.c")
    backport_tasks.index.enqueue("ABC")

    assert [result.return_value for result in run_jobs()] == ["mail", 4, "sent to a@b.c", "abc"]


def test_jobs_run_in_async_code_without_a_test_case():
    async def scenario() -> list[Any]:
        await tasks.anote.aenqueue(1)
        return await arun_jobs()

    assert [result.return_value for result in async_to_sync(scenario)()] == [1]
    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(_run_in_a_coroutine())


async def _run_in_a_coroutine() -> None:
    run_jobs()


def test_jobs_of_a_subclass_of_the_backend_run():
    path = f"{__name__}.CustomBackend"
    with override_settings(TASKS={"default": {"BACKEND": path}}):
        tasks.note.enqueue("own")
        run_jobs()

    assert tasks.calls == ["own"]


class CustomBackend(DatabaseBackend):
    """A backend that a project has subclassed."""
