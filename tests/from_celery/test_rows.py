"""Rows of django-celery-beat become schedules, and those of django-celery-results stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from offload import schedules
from offload.from_celery.beat_rows import BeatRows
from offload.from_celery.results import result_items
from offload.models import Schedule
from offload.testing import run_jobs
from tests.celery_tables import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
    TaskResult,
)
from tests.from_celery.brokers import PATH
from tests.from_celery.conftest import Run

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def make_row(name: str = "weekly", **columns: Any) -> PeriodicTask:
    """Make a periodic task; it ticks each hour if it has no other times."""
    if not columns.keys() & {"interval", "crontab", "solar", "clocked"}:
        columns["interval"] = IntervalSchedule.objects.create(every=1, period="hours")
    return PeriodicTask.objects.create(**{"name": name, "task": f"{PATH}.digest", **columns})


def made() -> QuerySet[Schedule]:
    """Return the schedules that are not those of the code."""
    return Schedule.objects.filter(source="admin")


def item_of(report: dict[str, Any]) -> dict[str, Any]:
    [item] = report["rows"]["items"]
    return dict(item)


def test_an_interval_becomes_a_schedule(run: Run) -> None:
    make_row(kwargs='{"kind": "weekly"}')

    assert item_of(run("--write"))["becomes"] == "made: 'weekly', every hour (UTC)"

    schedule = schedules.get("weekly")
    assert (schedule.when, schedule.state, schedule.row.source) == ("every hour", "active", "admin")
    schedule.run_now()
    [result] = run_jobs()
    assert result.return_value == "weekly"


def test_a_dry_run_makes_none(run: Run) -> None:
    make_row()

    assert item_of(run())["becomes"] == "a schedule: 'weekly', every hour (UTC)"
    assert made().count() == 0


def test_a_second_run_changes_nothing(run: Run) -> None:
    make_row()
    run("--write")
    before = list(made().values())

    report = run("--write")

    assert item_of(report)["becomes"] == "the schedule 'weekly', which exists: active"
    assert report["code"] == 0
    assert list(made().values()) == before


def test_a_crontab_keeps_its_time_zone(run: Run) -> None:
    crontab = CrontabSchedule.objects.create(
        minute="30", hour="7,19", day_of_week="mon-fri", timezone="Europe/Berlin"
    )
    make_row(crontab=crontab)

    run("--write")

    schedule = schedules.get("weekly")
    assert (schedule.when, schedule.row.timezone) == ("30 7,19 * * 1-5", "Europe/Berlin")


def test_queue_priority_and_times_are_kept(run: Run) -> None:
    start = datetime(2126, 1, 1, tzinfo=UTC)
    make_row(queue="mail", priority=7, start_time=start, expires=start + HOUR)

    run("--write")

    row = schedules.get("weekly").row
    assert (row.queue_name, row.priority) == ("mail", 70)
    assert (row.start_at, row.end_at) == (start, start + HOUR)


def test_priorities_of_redis_are_turned_round(run: Run, settings) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    make_row(priority=7)

    run("--write")

    assert schedules.get("weekly").row.priority == -70


def test_headers_reach_the_task(run: Run) -> None:
    make_row(task=f"{PATH}.digest", headers='{"tenant": "acme"}')

    run("--write")

    assert "acme" in schedules.get("weekly").row.arguments


def test_what_is_lost_is_said(run: Run) -> None:
    make_row(expire_seconds=60, routing_key="x", description="For Ann.")

    lost = item_of(run("--write"))["lost"]

    assert "expires= of tasks" in lost
    assert "exchange and routing key; the description" in lost
    assert schedules.get("weekly").row.deadline == 60


def test_a_disabled_row_becomes_a_paused_schedule(run: Run) -> None:
    make_row(enabled=False)

    assert item_of(run("--write"))["becomes"].endswith("(UTC), paused")

    schedule = schedules.get("weekly")
    assert (schedule.state, schedule.row.reason) == (
        "paused",
        "It was disabled in django_celery_beat.",
    )


def test_a_clocked_row_becomes_a_schedule_with_one_tick(run: Run) -> None:
    at = (timezone.now() + 100 * HOUR).replace(microsecond=1)
    make_row(clocked=ClockedSchedule.objects.create(clocked_time=at), one_off=True)

    run("--write")

    after = at.replace(microsecond=0) + timedelta(seconds=1)
    assert schedules.get("weekly").next_runs() == [after]


def test_a_row_that_runs_once_becomes_a_schedule_with_one_tick(run: Run) -> None:
    make_row(one_off=True)

    run("--write")

    assert len(schedules.get("weekly").next_runs()) == 1


@pytest.mark.parametrize(
    ("columns", "becomes"),
    [
        ({"task": "celery.backend_cleanup"}, "nothing: workers prune old jobs"),
        ({"one_off": True, "total_run_count": 1}, "nothing: it has run, once"),
        (
            {"one_off": True, "enabled": False, "last_run_at": timezone.now()},
            "nothing: it has run, once",
        ),
    ],
)
def test_a_row_that_needs_no_schedule_gets_none(run: Run, columns, becomes) -> None:
    make_row(**columns)

    item = item_of(run("--write"))

    assert (item["becomes"], item["is_left"]) == (becomes, False)
    assert made().count() == 0


def test_a_row_that_beat_has_copied_from_the_settings_is_the_schedule_of_the_code(
    run: Run, settings
) -> None:
    entry = {"task": f"{PATH}.digest", "schedule": 3600}
    settings.CELERY_BEAT_SCHEDULE = {"weekly": entry}
    make_row()

    report = run("--write")

    assert item_of(report)["becomes"] == "the schedule of the code with this name"
    assert schedules.get("weekly").row.source == "code"


def test_names_that_schedules_cannot_have_are_changed(run: Run) -> None:
    make_row("shop: " + "x" * 150)
    make_row("shop: " + "x" * 150 + "y")

    run("--write")

    names = set(made().values_list("name", flat=True))
    assert len(names) == 2
    assert all(name.startswith("shop  x") and len(name) <= 100 for name in names)
    run("--write")
    assert made().count() == 2


def past() -> ClockedSchedule:
    return ClockedSchedule.objects.create(clocked_time=datetime(2026, 1, 1, tzinfo=UTC))


def both_days() -> CrontabSchedule:
    return CrontabSchedule.objects.create(day_of_month="1", day_of_week="1")


def sunset() -> SolarSchedule:
    return SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1)


def quick() -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=10, period="microseconds")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"task": "shop.tasks.gone"}, "There is no task 'shop.tasks.gone'"),
        ({"task": f"{PATH}.add", "args": "[1, 2]"}, "@task(schedulable=True)"),
        ({"args": "[1, 2, 3]"}, "takes from 0 to 1 positional arguments but 3 were given"),
        ({"args": "[1"}, "Its args are not JSON: '[1'"),
        ({"kwargs": "[1]"}, "Its kwargs must be a dict, not '[1]'"),
        ({"queue": "reports"}, "Queue 'reports' is not valid"),
        ({"clocked": past}, "Its time, 2026-01-01 00:00:00 UTC, has passed"),
        ({"crontab": both_days}, "wants both day_of_month and day_of_week"),
        ({"solar": sunset}, "There are no solar schedules here"),
        ({"interval": None}, "It has no times"),
        ({"interval": quick}, "every must be at least a second"),
    ],
)
def test_a_row_that_no_schedule_can_replace_is_left_with_the_reason(
    run: Run, columns, text
) -> None:
    make_row(**{name: value() if callable(value) else value for name, value in columns.items()})

    report = run("--write")

    item = item_of(report)
    assert text in item["by_hand"]
    assert (item["is_left"], report["code"]) == (True, 1)
    assert made().count() == 0


def test_a_task_of_django_offload_may_be_scheduled_too(run: Run) -> None:
    make_row(task=f"{PATH}.plain", args="[3]")

    run("--write")

    schedules.get("weekly").run_now()
    assert run_jobs()[0].return_value == 3


def test_results_stay_and_are_counted(run: Run) -> None:
    for number, status in enumerate(["SUCCESS", "SUCCESS", "FAILURE", "STARTED"]):
        TaskResult.objects.create(task_id=str(number), status=status)

    items = run("--write")["results"]["items"]

    assert [item["name"] for item in items] == ["1 row FAILURE", "1 row STARTED", "2 rows SUCCESS"]
    assert "stay in django_celery_results_taskresult" in items[0]["becomes"]
    assert "the state, which changes no more" in items[1]["lost"]
    assert TaskResult.objects.count() == 4


def test_tables_that_do_not_exist_have_no_items(monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.from_celery import tables  # noqa: PLC0415

    for model in (tables.PeriodicTask, tables.TaskResult, tables.Interval):
        monkeypatch.setattr(model._meta, "db_table", f"missing_{model._meta.db_table}")

    rows = BeatRows("default", "default", is_redis=False, in_code=())
    assert (list(rows.items(write=True)), result_items("default")) == ([], [])


def test_columns_of_other_versions_may_be_missing(run: Run, monkeypatch) -> None:
    from offload.from_celery import tables  # noqa: PLC0415

    make_row(priority=5)
    field = tables.PeriodicTask._meta.get_field("priority")
    monkeypatch.setattr(field, "column", "priority_of_a_later_version")

    run("--write")

    assert schedules.get("weekly").row.priority is None
