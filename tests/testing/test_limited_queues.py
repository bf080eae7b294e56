"""Jobs of queues with limits, in tests of a project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
from django.test import override_settings

from offload import JobState, Rate, queues, uuid7
from offload.models import Job
from offload.testing import enqueued_jobs, run_jobs
from tests.jobs import claim, register_worker
from tests.testing import limited_tasks, tasks

pytestmark = pytest.mark.django_db

START = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_AN_HOUR: Any = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "OPTIONS": {"queue_limits": {"default": {"rate": "2/h"}}},
    }
}


@pytest.fixture(autouse=True)
def _keep_ids_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid7, "_last", 0)


def at(after: timedelta) -> Any:
    return freezegun.freeze_time(START + after)


def test_jobs_beyond_the_rate_of_their_queue_wait_until_the_tests_clock_moves_on() -> None:
    queues.limit("default", rate=Rate("1/h", burst=2))
    with at(timedelta()):
        tasks.note.enqueue_many([((n,), {}) for n in range(4)])
        tasks.note.using(queue_name="mail").enqueue(9)
        assert len(run_jobs()) == 3
        assert run_jobs(include_scheduled=True) == []
        assert [job.state for job in enqueued_jobs()][2:4] == [JobState.READY] * 2
    with at(0.9 * HOUR):
        assert run_jobs() == []
    with at(1.1 * HOUR):
        assert len(run_jobs()) == 1
    with at(9 * HOUR):
        assert len(run_jobs(queue_name="default")) == 1
    assert tasks.calls == [0, 1, 9, 2, 3]


def test_the_rate_of_a_queue_in_the_settings_counts() -> None:
    with override_settings(TASKS=TWO_AN_HOUR), at(timedelta()):
        tasks.note.enqueue_many([((n,), {}) for n in range(4)])
        assert len(run_jobs()) == 1


def test_a_job_with_a_limit_of_its_own_keeps_to_the_rate_of_its_queue() -> None:
    queues.limit("default", rate=Rate("1/h", burst=2))
    with at(timedelta()):
        limited_tasks.one_at_a_time.enqueue_many([((n,), {}) for n in range(4)])
        tasks.note.enqueue(4)
        assert len(run_jobs()) == 2
        assert tasks.calls == [0, 1]


def test_jobs_of_both_kinds_run_in_their_order_within_a_limit() -> None:
    queues.limit("default", concurrency=1)
    tasks.anote.enqueue(1)
    tasks.note.enqueue(2)
    limited_tasks.aone_at_a_time.enqueue(3)
    limited_tasks.one_at_a_time.enqueue(4)

    run_jobs(raise_errors=True)

    assert tasks.calls == [1, 2, 3, 4]


def test_a_concurrency_counts_the_jobs_that_run_elsewhere() -> None:
    queues.limit("default", concurrency=1)
    tasks.note.enqueue(1)
    claim(register_worker())
    waits = tasks.note.enqueue(2)
    other = tasks.note.using(queue_name="mail").enqueue(3)

    assert [job.id for job in run_jobs()] == [other.id]
    Job.objects.exclude(pk=waits.id).delete()
    assert [job.id for job in run_jobs()] == [waits.id]
