"""Ticks of tasks whose jobs are unique: a tick makes a job unless another one holds its key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from offload import JobState, schedule
from offload.models import Job, LimitNotice, Schedule
from offload.testing import recording, run_jobs, run_schedules
from tests.schedules import tasks
from tests.schedules.factories import MINUTE, fire, make, make_due
from tests.worker.locking import transaction_elsewhere

pytestmark = pytest.mark.django_db


def row(name: str = "nightly") -> Schedule:
    return Schedule.objects.get(pk=name)


def test_a_tick_makes_a_job_with_the_key_of_its_call() -> None:
    tick = make_due(task=tasks.unique)

    assert fire() == 1

    job = Job.objects.get()
    assert (job.schedule, job.scheduled_for, job.state) == ("nightly", tick, JobState.READY)
    result = tasks.unique.enqueue()
    assert (result.is_new, result.id) == (False, str(job.pk))


def test_a_tick_is_skipped_while_another_job_holds_its_key() -> None:
    holder = tasks.unique.enqueue()
    tick = make_due(task=tasks.unique)

    assert fire() == 0

    assert Job.objects.get().schedule is None
    assert (row().skipped, row().skipped_at, row().skipped_why) == (1, tick, "unique")
    assert (row().last_tick_at, row().last_job) == (tick, None)
    assert row().next_run_at > datetime.now(UTC) - MINUTE

    assert str(Job.objects.get().pk) == holder.id
    run_jobs()
    make_due("later", task=tasks.unique)
    assert fire() == 1


def test_other_arguments_have_another_key() -> None:
    tasks.unique.enqueue()
    make_due(task=tasks.unique, kwargs={"text": "x"})

    assert fire() == 1


def test_of_several_ticks_the_first_makes_a_job() -> None:
    make_due(task=tasks.unique, every=MINUTE, ago=3 * MINUTE, catch_up="all", overlap="allow")

    assert fire() == 1
    assert row().skipped == 3


def test_nobody_is_told_of_a_key_that_is_held_if_the_task_raises_an_error() -> None:
    make_due(task=tasks.strict)
    make_due("other", task=tasks.strict)

    assert fire() == 1

    assert sorted([row().skipped_why, row("other").skipped_why]) == ["", "unique"]
    run_jobs()
    make_due("later", task=tasks.strict)
    assert fire() == 0  # the key is held for an hour


def test_a_debounced_job_starts_after_its_delay_and_is_put_off_by_the_next_tick() -> None:
    make_due(task=tasks.debounced)
    assert fire() == 1
    job = Job.objects.get()
    assert job.state == JobState.SCHEDULED
    assert job.run_after - job.enqueued_at == MINUTE
    assert job.expires_at is not None
    assert job.expires_at - job.run_after == timedelta(seconds=90)

    make_due("other", task=tasks.debounced)
    assert fire() == 0

    later = Job.objects.get()
    assert later.pk == job.pk
    assert later.run_after >= job.run_after
    assert row("other").skipped_why == "unique"


def test_a_key_and_a_limit_go_together() -> None:
    make_due(task=tasks.unique_and_limited)

    assert fire() == 1

    job = Job.objects.get()
    assert (job.state, job.limit_key) == (JobState.LIMITED, LimitNotice.objects.get().limit_key)
    assert job.unique_key is not None


def test_an_extra_run_returns_the_job_that_holds_the_key() -> None:
    holder = tasks.unique.enqueue()
    nightly = make(task=tasks.unique)

    assert nightly.run_now().id == holder.id
    start = datetime.now(UTC) - timedelta(hours=3)
    results = nightly.backfill(start, datetime.now(UTC))
    assert {result.id for result in results} == {holder.id}
    assert Job.objects.count() == 1


def test_a_backfill_makes_one_job_at_a_time() -> None:
    nightly = make(task=tasks.unique)
    start = datetime.now(UTC) - timedelta(hours=3)

    results = nightly.backfill(start, datetime.now(UTC))

    assert len({result.id for result in results}) == 1
    assert len(results) == 3


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_a_key_that_a_long_transaction_holds_keeps_no_other_schedule_from_ticking() -> None:
    tick = make_due("held", task=tasks.unique)
    make_due("other", task=tasks.note)

    with transaction_elsewhere(tasks.unique.enqueue):
        assert fire() == 1
    assert Job.objects.filter(schedule="other").exists()
    assert (row("held").next_tick_at, row("held").skipped) == (tick, 0)

    Schedule.objects.filter(pk="held").update(next_run_at=tick)
    assert fire() == 0
    assert row("held").skipped_why == "unique"


@pytest.fixture
def declared() -> None:
    schedule("0 3 * * *", name="in tests", timezone="UTC")(tasks.unique)


@pytest.mark.parametrize("context", [None, recording], ids=["database", "recording"])
def test_run_schedules_skips_such_a_tick_too(declared: None, context: Any) -> None:
    at = datetime(2026, 3, 1, 3, tzinfo=UTC)

    def run() -> None:
        tasks.unique.enqueue()
        assert run_schedules(at=at) == []
        run_jobs()
        assert [job.task.name for job in run_schedules(at=at + timedelta(days=1))] == ["unique"]

    if context is None:
        run()
        return
    with context():
        run()
