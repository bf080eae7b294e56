"""Tests that set the clock get jobs that go by it, on every database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from offload import JobState, task, uuid7
from offload.live.tokens import make_token
from offload.models import Attempt, Job
from offload.testing import run_jobs
from tests.testing import tasks

pytestmark = pytest.mark.django_db

type Travel = Callable[[timedelta], AbstractContextManager[Any]]
"""Sets the clock to a time after the start of the journey."""

PAST = datetime(2019, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
FUTURE = datetime(2044, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = timedelta()


def with_freezegun(moment: datetime) -> AbstractContextManager[Any]:
    freeze: AbstractContextManager[Any] = freezegun.freeze_time(moment)
    return freeze


def with_time_machine(moment: datetime) -> AbstractContextManager[Any]:
    return time_machine.travel(moment, tick=False)


@pytest.fixture(params=[with_freezegun, with_time_machine], ids=["freezegun", "time_machine"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[PAST, FUTURE], ids=["past", "future"])
def start(request: pytest.FixtureRequest) -> datetime:
    moment: datetime = request.param
    return moment


@pytest.fixture
def at(library: Any, start: datetime, monkeypatch: pytest.MonkeyPatch) -> Travel:
    monkeypatch.setattr(uuid7, "_last", 0)  # later ids do not go on from the future
    return lambda after: library(start + after)


@task(expires=3600)
def expiring() -> None:
    """Expires an hour after it was enqueued."""


def test_a_scheduled_job_runs_when_the_tests_clock_says_so(at: Travel, start: datetime) -> None:
    with at(NOW):
        result = tasks.note.using(run_after=DAY).enqueue()
        assert run_jobs() == []
    with at(0.9 * DAY):
        assert run_jobs() == []
    with at(1.1 * DAY):
        assert [job.id for job in run_jobs()] == [result.id]
        result.refresh()
    assert result.enqueued_at == start
    assert result.started_at == result.last_attempted_at == start + 1.1 * DAY
    assert result.finished_at == start + 1.1 * DAY


def test_a_retry_waits_by_the_tests_clock(at: Travel, start: datetime) -> None:
    with at(NOW):
        tasks.fail_twice.enqueue()
        run_jobs()
    assert Attempt.objects.get().finished_at == start
    with at(timedelta(seconds=500)):
        assert run_jobs() == []
    with at(timedelta(seconds=700)):
        (result,) = run_jobs()
    assert result.state == JobState.SCHEDULED
    assert tasks.calls == [1, 2]


def test_a_job_expires_by_the_tests_clock(at: Travel) -> None:
    with at(NOW):
        early, late = expiring.enqueue(), expiring.using(run_after=DAY).enqueue()
    with at(timedelta(minutes=59)):
        assert [result.state for result in run_jobs()] == [JobState.SUCCESSFUL]
    with at(2 * DAY):
        assert [result.state for result in run_jobs()] == [JobState.EXPIRED]
    early.refresh()
    assert early.state == JobState.SUCCESSFUL
    assert late != early


def test_jobs_are_cancelled_and_retried_by_the_tests_clock(at: Travel, start: datetime) -> None:
    with at(NOW):
        result = tasks.note.enqueue()
    with at(DAY):
        result.cancel()
    assert result.finished_at == start + DAY
    with at(2 * DAY):
        result.retry()
        assert [job.state for job in run_jobs()] == [JobState.SUCCESSFUL]
    job = Job.objects.get(pk=result.id)
    assert (job.run_after, job.finished_at) == (start + 2 * DAY, start + 2 * DAY)


def test_a_task_that_cancels_its_job_does_so_by_the_tests_clock(
    at: Travel, start: datetime
) -> None:
    with at(NOW):
        tasks.cancel_itself_and_retry.enqueue()
        (result,) = run_jobs()
    assert result.state == JobState.CANCELLED
    job = Job.objects.get()
    assert job.cancel_requested_at == job.finished_at == start


def test_jobs_are_pruned_by_the_tests_clock(at: Travel) -> None:
    with at(NOW):
        tasks.note.enqueue()
        run_jobs()
        tasks.note.enqueue().cancel()
    with at(6 * DAY):
        call_command("offload_prune", verbosity=0)
        assert Job.objects.count() == 2
    with at(8 * DAY):
        call_command("offload_prune", verbosity=0)
        assert [job.state for job in Job.objects.all()] == [JobState.CANCELLED]
    with at(31 * DAY):
        call_command("offload_prune", verbosity=0)
        assert not Job.objects.exists()


def test_a_token_expires_by_the_tests_clock(at: Travel, client: Client) -> None:
    with at(NOW):
        result = tasks.note.enqueue()
        token = make_token([result.id])
    headers = {"Authorization": f"Offload {token}", "Accept": "application/json"}
    url = reverse("offload:status", args=[result.id])
    with at(timedelta(minutes=14)):
        assert client.get(url, headers=headers).status_code == 200
    with at(timedelta(minutes=16)):
        assert client.get(url, headers=headers).status_code == 401


def test_ids_are_unique_and_in_order_while_the_clock_stands(at: Travel) -> None:
    with at(NOW):
        ids = [tasks.note.enqueue(number).id for number in range(50)]
        run_jobs()
    assert ids == sorted(set(ids))
    assert tasks.calls == list(range(50))
