"""Progress on its way from the task through the worker to the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from offload import JobState
from offload.models import Job
from tests.tasks import add
from tests.worker import event_log, progress_tasks
from tests.worker.conftest import StartWorker, has_started, until
from tests.worker.locking import lock, transaction_elsewhere

LIMIT = 30


def done(result: Any) -> Any:
    """Return `done` from the row's progress."""
    result.refresh()
    return result.progress and result.progress.done


def finished(result: Any) -> Any:
    result.wait(LIMIT)
    return result


@pytest.mark.parametrize("task", [progress_tasks.climb, progress_tasks.aclimb])
def test_each_step_is_visible_before_the_next_one_starts(worker, tmp_path: Path, task):
    result = task.enqueue(str(tmp_path), 3)
    versions = []

    for number in (1, 2, 3):
        until(lambda number=number: done(result) == number, seconds=LIMIT)
        assert result.state == JobState.RUNNING
        assert result.progress.message == f"Step {number}"
        assert result.progress.step == (number, 3, "Climb")
        versions.append(Job.objects.get(pk=result.id).version)
        (tmp_path / str(number)).touch()

    assert versions == sorted(set(versions))
    assert finished(result).state == JobState.SUCCESSFUL
    assert (result.progress.done, result.progress.percent) == (3, 100)


@pytest.mark.parametrize(
    "task", [progress_tasks.count, progress_tasks.acount, progress_tasks.count_atomically]
)
def test_a_million_calls_cause_few_writes_and_the_last_one_is_stored(worker, task):
    result = finished(task.enqueue(1_000_000))

    assert result.state == JobState.SUCCESSFUL, result.errors
    assert (result.progress.done, result.progress.total) == (1_000_000, 1_000_000)
    row = Job.objects.get(pk=result.id)
    assert row.finished_at is not None
    assert row.started_at is not None
    seconds = (row.finished_at - row.started_at).total_seconds()
    assert row.version <= 4 + 10 * seconds


@pytest.mark.parametrize("task", [progress_tasks.fail_at, progress_tasks.fail_atomically])
def test_a_failed_job_keeps_its_last_progress(worker, task):
    results = task.enqueue_many([((done, 1_000), {}) for done in range(20)])

    for done, result in enumerate(results):
        assert finished(result).state == JobState.FAILED
        assert (result.progress.done, result.progress.total) == (done, 1_000)


def test_a_cancelled_job_keeps_its_last_progress(worker, gate):
    result = progress_tasks.report_then_hold.enqueue(str(gate), 6)
    until(lambda: has_started(result))

    result.cancel()

    assert finished(result).state == JobState.CANCELLED
    assert result.progress.done == 6


def test_the_job_of_a_killed_child_keeps_its_last_progress(start_worker: StartWorker, gate):
    start_worker(1)
    result = progress_tasks.report_then_die.enqueue(str(gate))
    until(lambda: done(result) == 7)

    gate.touch()

    assert finished(result).state == JobState.FAILED
    assert result.errors[-1].exception_class_path == "offload.exceptions.WorkerLost"
    assert result.progress.done == 7


def test_a_retry_starts_without_progress(worker, gate):
    result = progress_tasks.report_and_fail_then_hold.enqueue(str(gate))

    until(lambda: has_started(result))
    result.refresh()
    assert (result.state, result.progress) == (JobState.RUNNING, None)

    gate.touch()
    assert finished(result).state == JobState.SUCCESSFUL
    assert result.progress is None


def test_impossible_values_are_corrected_and_fail_no_job(worker):
    result = finished(progress_tasks.report_invalid_progress.enqueue())

    assert result.return_value == "fine"
    assert (result.progress.done, result.progress.total) == (10, 10)
    assert result.progress.message == "a b c"
    assert result.progress.step == (3, 3, "")


def test_a_wrong_type_is_a_type_error(worker):
    result = finished(progress_tasks.report_wrong_type.enqueue())

    assert result.state == JobState.FAILED
    assert result.errors[-1].exception_class_path == "builtins.TypeError"


def test_progress_of_a_finished_job_is_ignored(worker, gate):
    result = finished(progress_tasks.leave_a_thread.enqueue(str(gate)))
    row = Job.objects.get(pk=result.id)
    assert row.progress

    until(lambda: len(event_log.entries("reported", result.id)) >= 10)
    assert finished(add.enqueue(1)).return_value == 1

    again = Job.objects.get(pk=result.id)
    assert (again.progress, again.version) == (row.progress, row.version)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for everything")
def test_a_locked_row_holds_up_no_other_job_and_gets_its_progress_later(
    start_worker: StartWorker, gate, tmp_path
):
    start_worker(0, threads=2)
    result = progress_tasks.climb.enqueue(str(tmp_path), 2)
    until(lambda: done(result) == 1)

    with transaction_elsewhere(lock(result.id)):
        (tmp_path / "1").touch()
        for number in range(20):
            assert finished(add.enqueue(number)).return_value == number
        assert done(result) == 1

    until(lambda: done(result) == 2)
    (tmp_path / "2").touch()
    assert finished(result).return_value == "up"
