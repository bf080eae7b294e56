"""Due schedules become jobs, each tick once, and a broken row keeps no other from ticking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload import JobState
from offload.lifecycle import succeeded
from offload.models import Job, LimitNotice, Schedule
from offload.store import get_store
from offload.store.schedule_records import JobTemplate, SchedulesOfCode
from offload.store.schedule_ticks import MAX_DUE
from offload.timestamps import to_microseconds
from offload.uuid7 import id_of_tick
from tests.jobs import claim, claim_limited, register_worker
from tests.schedules import tasks
from tests.schedules.factories import HOUR, MINUTE, fire, make, make_due

pytestmark = pytest.mark.django_db


def row(name: str = "nightly") -> Schedule:
    return Schedule.objects.get(pk=name)


def test_a_due_schedule_becomes_a_job_and_moves_to_its_next_tick() -> None:
    tick = make_due(kwargs={"text": "hello"})

    assert fire() == 1

    job = Job.objects.get()
    assert (job.state, job.task_path) == (JobState.READY, tasks.note.module_path)
    assert job.arguments == '[[],{"text":"hello"}]'
    assert (job.schedule, job.scheduled_for) == ("nightly", tick)
    assert job.run_after == job.enqueued_at
    assert row().next_tick_at == row().next_run_at == tick + HOUR
    assert (row().last_tick_at, row().last_job) == (tick, job.pk)
    assert fire() == 0


def test_its_id_is_made_of_the_name_and_the_tick() -> None:
    tick = make_due()
    fire()

    assert Job.objects.get().pk == id_of_tick("nightly", to_microseconds(tick))
    assert Job.objects.get().pk.version == 7


def test_a_second_firing_of_a_tick_adds_no_job() -> None:
    """As if the row had been restored from a backup."""
    tick = make_due(overlap="allow")
    fire()
    Schedule.objects.update(next_tick_at=tick, next_run_at=tick)
    fire()

    assert Job.objects.count() == 1


def test_the_job_has_the_options_of_its_task() -> None:
    make_due(task=tasks.with_options)
    fire()

    job = Job.objects.get()
    assert (job.queue_name, job.priority, job.is_async) == ("mail", 3, True)
    assert (job.max_attempts, job.timeout) == (4, 60)
    assert job.expires_at is not None
    assert job.expires_at - job.run_after == timedelta(seconds=90)


def test_the_schedule_may_have_others() -> None:
    make_due(task=tasks.with_options, priority=0, queue_name="slow")
    fire()

    assert (Job.objects.get().queue_name, Job.objects.get().priority) == ("slow", 0)


def test_a_job_with_a_limit_waits_in_its_line() -> None:
    make_due(task=tasks.limited, kwargs={"text": "b"})
    fire()

    job = Job.objects.get()
    assert job.state == JobState.LIMITED
    assert job.limit_key == f"{tasks.limited.module_path}:b"
    assert LimitNotice.objects.get().limit_key == job.limit_key
    assert [claimed.scheduled_for for claimed in claim_limited(register_worker())] == [
        to_microseconds(job.scheduled_for) if job.scheduled_for else None
    ]


def test_with_overlap_skip_a_tick_is_dropped_while_the_last_job_waits() -> None:
    tick = make_due()
    fire()
    Schedule.objects.update(next_tick_at=tick, next_run_at=tick)

    assert fire() == 0

    assert Job.objects.count() == 1
    assert (row().skipped, row().skipped_why) == (1, "overlap")
    assert row().skipped_at == row().last_tick_at


def test_it_ticks_again_once_that_job_has_finished() -> None:
    make_due()
    last = tasks.note.enqueue()
    Schedule.objects.update(last_job=last.id)
    (job,) = claim(register_worker())
    get_store("default").finish([(job, succeeded("null"))])

    assert fire() == 1


def test_with_overlap_wait_jobs_run_one_after_the_other() -> None:
    make_due(ago=3 * HOUR, catch_up="all", overlap="wait")

    assert fire() == 4

    worker = register_worker()
    (first,) = claim_limited(worker)
    assert claim_limited(worker) == []
    assert len(claim_limited(worker, finished=[(first, succeeded("null"))])) == 1


@pytest.mark.parametrize(
    ("catch_up", "hours"), [("once", [3]), ("all", [0, 1, 2, 3]), ("skip", [])]
)
def test_after_an_outage_of_all_workers(catch_up: str, hours: list[int]) -> None:
    first = make_due(ago=3 * HOUR + 30 * MINUTE, catch_up=catch_up, overlap="allow")

    fire()

    ticks = list(Job.objects.order_by("pk").values_list("scheduled_for", flat=True))
    assert ticks == [first + hour * HOUR for hour in hours]
    assert row().skipped == 4 - len(hours)
    assert row().next_tick_at == first + 4 * HOUR


def test_a_tick_that_is_too_late_is_dropped_and_counted() -> None:
    make_due(ago=10 * MINUTE, deadline=300)

    assert fire() == 0
    assert (row().skipped, row().skipped_why, row().last_job) == (1, "deadline", None)


def test_a_schedule_stops_after_its_end() -> None:
    tick = make_due(end=timezone.now() + MINUTE)

    assert fire() == 1
    assert (row().last_tick_at, row().next_run_at) == (tick, None)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"cron": "61 * * * *", "every": None}, "its minute is not valid"),
        ({"cron": "@daily", "every": None, "timezone": "Mars/Olympus"}, "There is no time zone"),
        ({"job": "{"}, "JSONDecodeError"),
        ({"job": '{"limit": null}'}, "TypeError"),
    ],
)
def test_a_broken_row_is_marked_and_keeps_no_other_from_ticking(
    columns: dict[str, Any], words: str
) -> None:
    make_due("a")
    make_due("broken")
    make_due("z")
    Schedule.objects.filter(pk="broken").update(**columns)

    fired = get_store("default").fire_schedules()

    assert fired.jobs == 2
    assert words in fired.broken["broken"]
    assert words in str(row("broken").error)
    assert row("broken").next_run_at is None
    assert fire() == 0


def test_a_schedule_with_data_that_the_database_refuses_keeps_no_other_from_ticking() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite stores any number")
    make_due("broken")
    make_due("z")
    job = JobTemplate.from_json(str(row("broken").job))._replace(priority=99_999)
    Schedule.objects.filter(pk="broken").update(job=job.to_json())

    assert fire() == 1
    assert row("broken").error


def test_a_paused_schedule_does_not_tick() -> None:
    make_due()
    get_store("default").pause_schedule("nightly", until=None, reason="migration", changed_by="ada")

    assert fire() == 0
    assert row().next_run_at is None


def test_a_pause_ends_at_its_time_without_a_backlog() -> None:
    first = make_due(ago=3 * HOUR, overlap="allow", catch_up="all")
    now = to_microseconds(timezone.now())
    get_store("default").pause_schedule("nightly", until=now + 10**9, reason="", changed_by="")
    Schedule.objects.update(paused_until=now, next_run_at=now)

    assert fire() == 0

    assert (row().paused_at, row().paused_until) == (None, None)
    assert row().next_tick_at == first + 4 * HOUR


def test_resuming_starts_from_now_and_keeps_the_phase() -> None:
    first = make_due(ago=3 * HOUR)
    store = get_store("default")
    store.pause_schedule("nightly", until=None, reason="", changed_by="")
    store.resume_schedule("nightly")

    assert fire() == 0
    assert row().next_tick_at == first + 4 * HOUR


def test_a_clock_that_was_set_forward_makes_up_once_and_ticks_after_it_is_back() -> None:
    """The last tick is then in the future."""
    make_due()
    future = timezone.now() + timedelta(days=365)
    Schedule.objects.update(last_tick_at=future, next_tick_at=future + HOUR, next_run_at=future)

    get_store("default").keep_schedules("default", SchedulesOfCode({}, {}))

    next_run = row().next_run_at
    assert next_run is not None
    assert timezone.now() < next_run <= timezone.now() + HOUR


def test_a_clock_that_was_set_back_repeats_no_tick() -> None:
    tick = make_due()
    fire()
    Schedule.objects.update(next_tick_at=tick, next_run_at=tick)  # as computed by the old clock
    fire()

    assert Job.objects.count() == 1


def test_a_hundred_schedules_are_fired_in_one_transaction() -> None:
    make_due("s000")
    values = Schedule.objects.values().get()
    names = [f"s{number:03}" for number in range(1, MAX_DUE + 1)]
    Schedule.objects.bulk_create(Schedule(**values | {"name": name}) for name in names)

    assert [fire(), fire(), fire()] == [MAX_DUE, 1, 0]


def test_looking_for_due_schedules_is_one_statement_while_none_is() -> None:
    make()

    with CaptureQueriesContext(connection) as queries:
        fire()

    assert len(queries) == 1


def test_a_poll_says_when_the_next_schedule_is_due() -> None:
    store = get_store("default")
    assert store.poll("default").schedule_in is None

    make(every=HOUR, start=timezone.now() + MINUTE)

    schedule_in = store.poll("default").schedule_in
    assert schedule_in is not None
    assert 50 < schedule_in <= 60


def test_ids_of_ticks_differ_by_name_and_time() -> None:
    tick = to_microseconds(timezone.now())
    ids = {id_of_tick(name, tick + n) for name in ("a", "b") for n in (0, 10**6)}

    assert len(ids) == 4
    assert all(isinstance(job, UUID) for job in ids)
