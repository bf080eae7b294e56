"""Schedules in the database: made, changed, paused, run and shown by code."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks.registry import registry
from django.db import connection
from django.utils import timezone

from offload import InvalidSchedule, schedule, schedules
from offload.checks.schedules import check_stored
from offload.models import Job, Schedule
from offload.schedules.sync import sync
from offload.store import get_store
from offload.store.schedule_records import SchedulesOfCode
from offload.testing import run_jobs
from tests.schedules import tasks
from tests.schedules.factories import HOUR, MINUTE, fire, make, make_due

pytestmark = pytest.mark.django_db


def test_a_new_schedule_ticks_from_now_on() -> None:
    made = schedules.create("weekly", tasks.note, "0 8 * * 1", kwargs={"text": "a"})

    assert (made.name, made.state, made.when) == ("weekly", "active", "0 8 * * 1")
    assert made.in_words == "At 08:00 on Monday"
    assert made.next_run_at == made.next_runs(1)[0]
    assert made.next_runs(3)[2] - made.next_runs(3)[0] == timedelta(weeks=2)
    assert schedules.get("weekly").row.source == "admin"
    assert [one.name for one in schedules.list()] == ["weekly"]


def test_a_task_must_be_opened_to_schedules() -> None:
    with pytest.raises(InvalidSchedule, match="schedulable=True"):
        schedules.create("a", tasks.not_schedulable, "@daily")


@pytest.mark.parametrize("given", ["shop.tasks.note", tasks.note.func])
def test_only_a_task_can_be_scheduled(given: Any) -> None:
    with pytest.raises(InvalidSchedule, match="Pass a task, such as shop"):
        schedules.create("a", given, "@daily")


def test_a_name_is_used_once() -> None:
    make("a")

    with pytest.raises(InvalidSchedule, match="There is a schedule 'a' already"):
        make("a")


def test_an_unknown_name_says_which_are_known() -> None:
    make("nightly")

    with pytest.raises(LookupError, match=r"no schedule 'nighly'\. Did you mean 'nightly'"):
        schedules.get("nighly")


def test_changing_the_arguments_does_not_move_the_next_tick() -> None:
    made = make(start=timezone.now() + MINUTE)
    before = made.next_run_at
    start = made.row.start_at

    changed = schedules.change("nightly", tasks.note, every=HOUR, start=start, args=["b"])

    assert changed.next_run_at == before
    assert changed.row.arguments == '[["b"],{}]'


def test_changing_the_times_ticks_from_now_on_without_a_backlog() -> None:
    make_due(ago=5 * HOUR)

    changed = schedules.change("nightly", tasks.note, "*/5 * * * *")

    assert fire() == 0
    assert changed.next_run_at is not None
    assert changed.next_run_at - timezone.now() <= 5 * MINUTE


def test_a_schedule_of_the_code_is_changed_there() -> None:
    schedule("@daily", name="nightly")(tasks.note)
    sync("default")

    with pytest.raises(InvalidSchedule, match="is defined in the code"):
        schedules.change("nightly", tasks.note, "@weekly")
    with pytest.raises(InvalidSchedule, match="Remove it there, or pause it"):
        schedules.get("nightly").delete()


def test_a_pause_says_who_why_and_until_when() -> None:
    made = make()
    until = timezone.now() + HOUR

    made.pause(reason="migration", until=until, changed_by="ada")

    assert (made.state, made.next_run_at) == ("paused", None)
    row = schedules.get("nightly").row
    assert (row.reason, row.changed_by, row.paused_until) == ("migration", "ada", until)
    assert made.next_runs(1)[0] > until

    made.resume()
    assert (made.state, made.row.reason, made.row.paused_until) == ("active", "", None)


def test_a_pause_may_be_given_as_a_duration() -> None:
    made = make()

    made.pause(until=HOUR)

    assert timedelta() < made.row.paused_until - timezone.now() <= HOUR


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"until": timezone.now() - MINUTE}, "in the future"),
        ({"until": -MINUTE}, "in the future"),
        ({"until": "2h"}, "a datetime, or a timedelta of at most 100 years, not '2h'"),
        ({"reason": None}, "reason must be text, not None"),
        ({"changed_by": "x" * 151}, "changed_by has more than 150 characters"),
    ],
)
def test_a_pause_has_an_end_that_can_come_and_a_note_that_can_be_stored(
    arguments: Any, words: str
) -> None:
    with pytest.raises(InvalidSchedule, match=words):
        make().pause(**arguments)


def test_an_extra_run_moves_nothing() -> None:
    made = make()
    before = Schedule.objects.values().get()

    result = made.run_now()

    job = Job.objects.get(pk=result.id)
    assert (job.schedule, job.scheduled_for) == ("nightly", None)
    assert Schedule.objects.values().get() == before
    assert [run.return_value for run in run_jobs()] == [" None"]


def test_a_resumed_schedule_that_ticks_already_loses_no_tick() -> None:
    make_due(ago=MINUTE)

    schedules.get("nightly").resume()

    assert fire() == 1


def test_a_schedule_that_broke_at_a_tick_ticks_again_when_it_is_resumed() -> None:
    make()
    Schedule.objects.update(error="ValueError: a value", next_run_at=None)

    schedules.get("nightly").resume()

    assert schedules.get("nightly").state == "active"


def test_a_schedule_that_is_broken_in_the_code_stays_so_when_it_is_resumed() -> None:
    declare(queue_name="a,b")
    sync("default")
    broken = schedules.get("nightly")
    broken.pause()

    broken.resume()

    assert (broken.state, broken.row.paused_at) == ("broken", None)
    assert "queue name 'a,b'" in broken.problem


def test_the_task_knows_its_tick() -> None:
    tick = make_due(kwargs={"text": "for"})
    fire()

    (result,) = run_jobs()

    assert result.return_value == f"for {tick.isoformat()}"


def test_the_runs_are_the_results_of_the_last_ticks() -> None:
    first = make_due(ago=3 * HOUR, catch_up="all", overlap="allow")
    fire()

    runs = schedules.get("nightly").runs(3)

    rows = [Job.objects.get(pk=run.id).scheduled_for for run in runs]
    assert rows == [first + hours * HOUR for hours in (3, 2, 1)]
    assert make("other").runs() == []


def test_extra_runs_and_backfills_are_not_among_the_runs() -> None:
    made = make(cron="@daily", every=None)
    made.run_now()
    made.backfill(timezone.now() - 48 * HOUR, timezone.now())

    assert Job.objects.count() == 3
    assert made.runs() == []


def test_a_backfill_runs_ticks_again() -> None:
    first = make_due(ago=3 * HOUR, overlap="allow")
    fire()
    made = schedules.get("nightly")

    results = made.backfill(first, first + 3 * HOUR)

    jobs = Job.objects.filter(pk__in=[result.id for result in results]).order_by("scheduled_for")
    assert [job.scheduled_for for job in jobs] == [first + hours * HOUR for hours in range(4)]
    assert Job.objects.count() == 5
    assert schedules.get("nightly").row.next_tick_at == made.row.next_tick_at


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (timezone.now(), timezone.now() - HOUR, "is after its end"),
        (timezone.now().date(), timezone.now(), "start must be a datetime, not datetime.date"),
        (timezone.now(), "today", "end must be a datetime, not 'today'"),
    ],
)
def test_a_backfill_has_a_start_and_then_an_end(start: Any, end: Any, words: str) -> None:
    with pytest.raises(InvalidSchedule, match=words):
        make().backfill(start, end)


def test_a_backfill_has_a_limit() -> None:
    with pytest.raises(InvalidSchedule, match="more than 1000 times"):
        make().backfill(timezone.now() - 2000 * HOUR, timezone.now())


def test_a_schedule_made_at_run_time_can_be_deleted() -> None:
    make().delete()

    assert schedules.list() == []


# --- the code -------------------------------------------------------------------------------


def declare(**options: Any) -> None:
    options = {"cron": "0 3 * * *", "name": "nightly", **options}
    schedule(options.pop("cron"), **options)(tasks.note)


def test_the_code_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    declare()
    sync("default")
    Schedule.objects.update(next_tick_at=None)  # would be computed again
    sync("default")

    assert schedules.get("nightly").row.next_tick_at is None


def test_a_schedule_that_the_code_does_not_have_any_more_is_retired() -> None:
    make("kept")
    declare()
    sync("default")
    forget()
    sync("default", is_complete=False)
    assert schedules.get("nightly").state == "active"

    sync("default")

    retired = schedules.get("nightly")
    assert (retired.state, retired.next_runs()) == ("retired", [])
    assert schedules.get("kept").state == "active"
    with pytest.raises(InvalidSchedule, match="is retired"):
        retired.pause()
    with pytest.raises(InvalidSchedule, match="'nightly' is retired, and ticks no more"):
        retired.resume()
    assert (schedules.get("nightly").state, fire()) == ("retired", 0)
    retired.delete()


def forget() -> None:
    from offload.schedules import decorator  # noqa: PLC0415

    decorator._declared.clear()


def test_it_ticks_from_now_on_when_the_code_has_it_again() -> None:
    declare(cron="0 * * * *")
    sync("default")
    forget()
    sync("default")
    declare(cron="0 * * * *")
    sync("default")

    back = schedules.get("nightly")
    assert back.state == "active"
    assert back.next_run_at is not None
    assert back.next_run_at > timezone.now()


def test_a_pause_outlives_a_change_of_the_code() -> None:
    declare()
    sync("default")
    schedules.get("nightly").pause(reason="bug 17")
    forget()
    declare(cron="0 4 * * *")
    sync("default")

    paused = schedules.get("nightly")
    assert (paused.state, paused.when, paused.row.next_run_at) == ("paused", "0 4 * * *", None)


def test_a_name_that_was_taken_at_run_time_is_left_alone() -> None:
    make("nightly")
    declare()

    with pytest.raises(InvalidSchedule, match="nightly"):
        sync("default")
    assert schedules.get("nightly").row.source == "admin"


def test_one_of_another_backend_is_left_alone() -> None:
    declare()
    sync("default")

    get_store("default").keep_schedules("other", SchedulesOfCode({}, {}))

    assert schedules.get("nightly").state == "active"


def test_code_that_was_loaded_later_is_not_overwritten() -> None:
    declare()
    sync("default")
    Schedule.objects.update(loaded_at=2**62, digest="other")

    with pytest.raises(InvalidSchedule, match=r"Not written: nightly\. .* loaded its code later"):
        sync("default")
    assert schedules.get("nightly").row.digest == "other"


def test_a_broken_schedule_of_the_code_is_shown_and_the_others_tick() -> None:
    declare(cron="61 * * * *", name="broken")
    declare()
    sync("default")

    assert schedules.get("broken").state == "broken"
    assert "minute" in schedules.get("broken").problem
    assert schedules.get("nightly").state == "active"

    forget()
    declare(cron="1 * * * *", name="broken")
    sync("default")
    assert schedules.get("broken").state == "active"


def test_schedules_made_at_run_time_follow_the_options_of_their_task() -> None:
    make("own", priority=7)
    make("tasks")
    for row in Schedule.objects.all():
        row.job = str(row.job).replace('"max_attempts": 1', '"max_attempts": 9')
        row.save()
    sync("default")

    fire_all()
    jobs = {job.schedule: (job.max_attempts, job.priority) for job in Job.objects.all()}
    assert jobs == {"own": (1, 7), "tasks": (1, 0)}


def fire_all() -> None:
    for one in schedules.list():
        one.run_now()


def test_a_task_that_is_gone_is_a_warning_of_the_check_of_the_database() -> None:
    make("fine")
    make("gone")
    Schedule.objects.filter(pk="gone").update(task_path="tests.schedules.tasks.gone")

    (warning,) = check_stored(connection)

    assert warning.id == "offload.W052"
    assert not warning.is_serious()
    assert "'gone'" in str(warning.msg)
    assert "There is no task 'tests.schedules.tasks.gone'" in schedules.get("gone").problem


def test_the_checks_are_registered() -> None:
    names = {check.__name__ for check in registry.get_checks(include_deployment_checks=True)}

    assert {"check_schedules", "check_databases"} <= names
