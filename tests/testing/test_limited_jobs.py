"""Jobs of tasks with limits, in tests of a project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
from django.tasks.exceptions import InvalidTask

from offload import JobState, uuid7
from offload.testing import assert_enqueued, enqueued_jobs, immediate, recording, run_jobs
from tests.testing import limited_tasks, tasks

pytestmark = pytest.mark.django_db

START = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _keep_ids_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid7, "_last", 0)


def at(after: timedelta) -> Any:
    return freezegun.freeze_time(START + after)


def test_jobs_of_a_task_that_never_overlaps_run_one_after_the_other() -> None:
    limited_tasks.one_at_a_time.enqueue_many([((n,), {}) for n in range(5)])

    results = run_jobs(raise_errors=True)

    assert tasks.calls == list(range(5))
    assert {result.state for result in results} == {JobState.SUCCESSFUL}


def test_jobs_with_and_without_a_limit_run_in_the_order_of_a_worker() -> None:
    tasks.note.enqueue(1)
    limited_tasks.one_at_a_time.enqueue(2)
    tasks.note.enqueue(3)
    limited_tasks.one_at_a_time.enqueue(4)
    limited_tasks.one_at_a_time.using(priority=5).enqueue(0)

    run_jobs()

    assert tasks.calls == [0, 1, 2, 3, 4]


def test_async_jobs_with_a_limit_run() -> None:
    limited_tasks.aone_at_a_time.enqueue_many([((1,), {}), ((2,), {})])
    limited_tasks.one_at_a_time.enqueue(3)

    run_jobs(raise_errors=True)

    assert sorted(tasks.calls) == [1, 2, 3]


@pytest.mark.parametrize("queue_name", ["mail", "default"])
def test_only_limited_jobs_of_the_queue_run(queue_name: str) -> None:
    limited_tasks.of_tenant.enqueue_many([(("a",), {}), (("b",), {})])
    limited_tasks.of_tenant.using(queue_name="default").enqueue("c")

    first = run_jobs(queue_name=queue_name)
    rest = run_jobs()

    assert len(first) + len(rest) == 3
    assert len(first) == (2 if queue_name == "mail" else 1)


def test_jobs_beyond_a_rate_wait_until_the_tests_clock_moves_on() -> None:
    with at(timedelta()):
        limited_tasks.twice_at_once.enqueue_many([((n,), {}) for n in range(4)])
        assert len(run_jobs()) == 2
        assert run_jobs(include_scheduled=True) == []
        assert [job.state for job in enqueued_jobs()][2:] == [JobState.LIMITED] * 2
    with at(0.9 * HOUR):
        assert run_jobs() == []
    with at(1.1 * HOUR):
        assert len(run_jobs()) == 1
    with at(9 * HOUR):
        assert len(run_jobs()) == 1
    assert tasks.calls == [0, 1, 2, 3]


def test_a_rate_does_not_wait_for_a_clock_that_was_set_back() -> None:
    with at(1000 * HOUR):
        limited_tasks.twice_at_once.enqueue_many([((n,), {}) for n in range(4)])
        run_jobs()
    with at(timedelta()):
        limited_tasks.twice_at_once.enqueue(4)
        assert run_jobs() == []
    with at(1.1 * HOUR):
        assert len(run_jobs()) == 1


def test_a_snoozed_job_keeps_its_limit() -> None:
    limited_tasks.snooze_once.enqueue(1)

    run_jobs()
    (result,) = run_jobs(include_scheduled=True)

    assert result.state == JobState.SUCCESSFUL
    assert tasks.calls == [1, 1]


def test_a_job_may_enqueue_another_of_its_own_limit() -> None:
    limited_tasks.enqueue_another.enqueue(3)

    assert len(run_jobs(raise_errors=True)) == 4


def test_the_limit_of_attempts_counts_limited_jobs_and_releases_the_next() -> None:
    limited_tasks.one_at_a_time.enqueue_many([((n,), {}) for n in range(3)])

    with pytest.raises(AssertionError, match="After 2 attempts"):
        run_jobs(limit=2)

    assert enqueued_jobs()[-1].state == JobState.LIMITED
    assert len(run_jobs()) == 1


def test_assertions_say_what_a_job_waits_for() -> None:
    limited_tasks.one_at_a_time.enqueue(1)

    with pytest.raises(AssertionError, match=r"priority=0, waits for its limit$"):
        assert_enqueued(limited_tasks.one_at_a_time, args=[2])


# --- in memory ------------------------------------------------------------------------------


@recording()
def test_recorded_jobs_wait_in_their_line_and_run_without_a_delay() -> None:
    results = limited_tasks.twice_at_once.enqueue_many([((n,), {}) for n in range(4)])
    assert [result.state for result in results] == [JobState.LIMITED] * 4

    results = run_jobs()

    assert [result.state for result in results] == [JobState.SUCCESSFUL] * 4
    assert tasks.calls == [0, 1, 2, 3]


@recording()
def test_a_retried_recorded_job_waits_in_its_line() -> None:
    result = limited_tasks.one_at_a_time.enqueue(1)
    result.cancel()
    result.retry()

    assert result.state == JobState.LIMITED
    assert len(run_jobs()) == 1


@pytest.mark.parametrize("backend", [recording, immediate])
def test_a_key_that_cannot_be_made_is_an_error_as_in_production(backend: Any) -> None:
    with backend(), pytest.raises(InvalidTask, match="KeyError: 'shop'"):
        limited_tasks.of_order.enqueue({"pk": 5})
