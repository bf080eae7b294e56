"""Which reports about a task are stored, and how they are read."""

from __future__ import annotations

import pytest
from celery import states
from celery.exceptions import TaskRevokedError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from offload.lifecycle import JobState
from offload.models import Attempt, Job
from tests.celery_apps import pickled, results
from tests.celery_results.reports import Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        # RETRY of an attempt is stored after its successor has ended.
        ([("STARTED", 0), ("STARTED", 1), ("SUCCESS", 1), ("RETRY", 0)], "SUCCESS"),
        ([("STARTED", 0), ("STARTED", 1), ("FAILURE", 1), ("RETRY", 0)], "FAILURE"),
        ([("STARTED", 0), ("STARTED", 1), ("RETRY", 0)], "STARTED"),
        ([("STARTED", 0), ("RETRY", 0), ("STARTED", 1), ("PROGRESS", 1)], "PROGRESS"),
        ([("STARTED", 0), ("RETRY", 0), ("STARTED", 0)], "RETRY"),
        # The message was delivered twice.
        ([("STARTED", 0), ("SUCCESS", 0), ("STARTED", 0)], "SUCCESS"),
        ([("STARTED", 0), ("SUCCESS", 0), ("FAILURE", 0)], "SUCCESS"),
        ([("FAILURE", 0), ("SUCCESS", 0)], "FAILURE"),
        ([("PROGRESS", 2), ("STARTED", 1)], "PROGRESS"),
        # STARTED is not tracked.
        ([("RETRY", 0), ("SUCCESS", 1)], "SUCCESS"),
        ([("SUCCESS", 1), ("RETRY", 0)], "SUCCESS"),
        ([("REVOKED", 0), ("SUCCESS", 0)], "REVOKED"),
    ],
)
def test_a_row_only_goes_forward(task: Task, reports: list[tuple[str, int]], expected: str) -> None:
    for state, retries in reports:
        is_error = state in states.EXCEPTION_STATES
        task.report(state, ValueError(state) if is_error else state, retries=retries)
    assert task.result.state == expected


def test_the_first_exception_of_an_attempt_is_kept(task: Task) -> None:
    """Celery stores a second one if the code that handles the first one fails."""
    task.report("STARTED")
    task.report("FAILURE", ValueError("the real one"))
    task.report("FAILURE", TypeError("of the errback"))
    assert repr(task.result.info) == "ValueError('the real one')"
    assert Attempt.objects.get().exception_class_path == "builtins.ValueError"


def test_each_state_has_its_own_of_ours(task: Task) -> None:
    seen = []
    for state, value in [
        ("STARTED", {"pid": 1}),
        ("PROGRESS", {"current": 1, "total": 2}),
        ("RETRY", ValueError("again")),
    ]:
        task.report(state, value)
        seen.append(JobState(Job.objects.get().state))
    task.report("STARTED", retries=1)
    task.report("SUCCESS", [1], retries=1)
    seen.append(JobState(Job.objects.get().state))
    assert seen == [JobState.RUNNING, JobState.RUNNING, JobState.READY, JobState.SUCCESSFUL]
    job = Job.objects.get()
    assert (job.attempt, job.return_value, job.finished_at is None) == (2, "[1]", False)


@pytest.mark.parametrize(
    ("reason", "state"), [("expired", JobState.EXPIRED), ("revoked", JobState.CANCELLED)]
)
def test_a_revoked_task_is_cancelled_or_expired(task: Task, reason: str, state: JobState) -> None:
    task.report("REVOKED", TaskRevokedError(reason))
    assert Job.objects.get().state == state
    assert isinstance(task.result.result, TaskRevokedError)


def test_a_worker_that_does_not_run_a_task_cannot_revoke_it(task: Task) -> None:
    task.report("STARTED")
    task.report_unknown("REVOKED", TaskRevokedError("revoked"))
    assert task.result.state == "STARTED"


def test_a_worker_that_revokes_a_waiting_task_is_overruled_by_the_one_that_runs_it(
    task: Task,
) -> None:
    """Without STARTED, nobody else knows that it runs."""
    task.report("RETRY", ValueError("once"))
    task.report_unknown("REVOKED", TaskRevokedError("revoked"))
    assert task.result.state == "REVOKED"
    task.report("SUCCESS", 1, retries=1)
    assert task.result.state == "SUCCESS"


def test_state_and_value_are_one_snapshot(task: Task) -> None:
    task.report("PROGRESS", {"current": 1, "total": 2})
    with CaptureQueriesContext(
        connection,
    ) as queries:
        meta = results.backend.get_task_meta(task.id)
    assert (meta["status"], meta["result"]) == ("PROGRESS", {"current": 1, "total": 2})
    assert len(queries) == 1


def test_an_unknown_id_is_pending_and_does_not_exist(task: Task) -> None:
    assert task.result.state == "PENDING"
    assert not results.backend.task_result_exists(task.id)


def test_what_celery_shows_of_a_task_is_known_without_a_setting(task: Task) -> None:
    task.report("STARTED", retries=2)
    result = task.result
    assert (result.name, result.queue, result.retries) == ("shop.tasks.report", "mail", 2)
    assert (result.args, result.kwargs) == ([1, 2], {"to": "ann"})


def test_an_id_may_be_any_text() -> None:
    task = Task("import of 3 May")
    task.report("SUCCESS", 5)
    assert task.result.get(timeout=1) == 5
    assert results.backend.get_task_meta(task.id)["task_id"] == "import of 3 May"


def test_other_serializers_keep_their_values() -> None:
    task = Task(app=pickled)
    task.report("SUCCESS", {1, 2})
    assert task.result.get(timeout=1) == {1, 2}
    assert Job.objects.get().return_value is None


def test_a_failure_that_was_set_by_hand_can_be_read(task: Task) -> None:
    task.report("FAILURE", {"reason": "no money"})
    assert task.result.state == "FAILURE"
    assert "no money" in str(task.result.info)


def test_forget_deletes_what_has_ended(task: Task) -> None:
    task.report("STARTED")
    task.result.forget()
    assert Job.objects.exists()
    task.report("FAILURE", ValueError())
    task.result.forget()
    assert not Job.objects.exists()
    assert not Attempt.objects.exists()


def test_a_task_that_ended_long_ago_is_cleaned_up(task: Task) -> None:
    task.report("SUCCESS", 1)
    other = Task()
    other.report("STARTED")
    results.backend.cleanup()
    assert Job.objects.count() == 2
    Job.objects.update(enqueued_at=0, run_after=0)
    Job.objects.filter(pk=task.id).update(finished_at=1_000_000_000)
    results.backend.save_group("old", results.GroupResult("old", []))
    results.backend.cleanup()
    assert [str(job.pk) for job in Job.objects.all()] == [other.id]
    assert results.backend.restore_group("old", cache=False) is not None


def test_groups_are_saved_and_deleted(task: Task) -> None:
    group = results.GroupResult("g", [task.result])
    group.save()
    results.backend._cache.clear()
    restored = results.GroupResult.restore("g")
    assert [result.id for result in restored] == [task.id]
    restored.delete()
    results.backend._cache.clear()
    assert results.GroupResult.restore("g") is None
