"""A tick whose queue is full waits for room, until it is too late for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from offload import schedules
from offload.models import Job, Schedule
from offload.store import get_store
from offload.store.schedule_records import FiredSchedules
from tests.schedules import tasks
from tests.schedules.factories import HOUR, MINUTE, make_due

pytestmark = pytest.mark.django_db


def row(name: str = "nightly") -> Schedule:
    return Schedule.objects.get(pk=name)


def fire(*full: str) -> FiredSchedules:
    """Fire the schedules that are due, and those that were held; these queues are full."""
    held = Schedule.objects.exclude(held_since=None)
    held.update(next_run_at=timezone.now() - timedelta(milliseconds=1))
    return get_store("default").fire_schedules(lambda _, queue: queue not in full)


def test_a_tick_waits_for_room_and_becomes_the_job_of_its_time() -> None:
    tick = make_due(task=tasks.with_options)

    assert fire("mail").held == {"nightly": "mail"}
    assert fire("mail").held == {}  # said once
    assert not Job.objects.exists()
    assert row().held_since is not None
    assert (row().next_tick_at, row().last_tick_at, row().skipped) == (tick, None, 0)

    fired = fire()

    assert (fired.jobs, fired.dropped) == (1, [])
    assert Job.objects.get().scheduled_for == tick
    assert (row().held_since, row().skipped) == (None, 0)


def test_it_is_looked_at_again_soon() -> None:
    make_due()

    next_in = fire("default").next_in

    assert next_in is not None
    assert 0 < next_in <= 5


def test_it_keeps_no_other_from_ticking() -> None:
    make_due("full", task=tasks.with_options)
    make_due("fine")

    assert fire("mail").jobs == 1
    assert Job.objects.get().schedule == "fine"


@pytest.mark.parametrize(
    "options", [{"deadline": 300}, {"catch_up": "skip"}], ids=["deadline", "catch_up"]
)
def test_it_is_skipped_with_the_reason_when_it_is_too_late(options: dict[str, object]) -> None:
    make_due(**options)
    fire("default")
    earlier = timezone.now() - 10 * MINUTE
    Schedule.objects.update(next_tick_at=earlier, start_at=earlier)

    fired = fire("default")

    assert (fired.jobs, fired.held, fired.dropped) == (0, {}, ["nightly"])
    assert (row().skipped, row().skipped_why, row().held_since) == (1, "full", None)


def test_of_ticks_that_waited_the_latest_becomes_a_job() -> None:
    first = make_due(ago=3 * HOUR)
    fire("default")

    fired = fire()

    assert (fired.jobs, fired.dropped) == (1, ["nightly"])
    assert Job.objects.get().scheduled_for == first + 3 * HOUR
    assert (row().skipped, row().skipped_why) == (3, "full")


def test_a_schedule_that_is_resumed_waits_no_more() -> None:
    make_due()
    fire("default")
    held = schedules.get("nightly")
    assert held.full_queue == "default"

    held.pause()
    assert held.full_queue == ""
    held.resume()

    assert (held.row.held_since, held.full_queue) == (None, "")


def test_one_that_breaks_waits_no_more() -> None:
    make_due()
    fire("default")
    Schedule.objects.update(job="{")

    fire()

    assert (row().held_since, schedules.get("nightly").state) == (None, "broken")
