"""Periodic tasks: `beat_schedule`, `add_periodic_task`, `crontab`, and `@schedule`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from offload import schedule
from offload.celery import Celery, chain, shared_task
from offload.celery.schedules import crontab
from offload.celery.schedules import schedule as interval
from offload.celery.schedules.periodic import periodic_tasks
from offload.celery.tasks import current
from offload.celery.tasks.registry import Registry
from offload.celery.tasks.registry import tasks as registry
from offload.checks.registered import check_schedules
from offload.schedules.in_code import declared_schedules
from offload.store.schedule_records import JobTemplate, ScheduleDefinition
from offload.testing import run_jobs, run_schedules
from tests.celery import tasks


@pytest.fixture
def app() -> Iterator[Celery]:
    """The current app of the process, for one test."""
    before = list(current._current)
    yield Celery("periodic")
    current._current[:] = before


def named(name: str) -> ScheduleDefinition:
    return {one.name: one for one in declared_schedules()}[name]


def errors() -> list[str]:
    return [str(found.msg) for found in check_schedules() if "'bad'" in str(found.msg)]


@pytest.mark.parametrize(
    ("when", "cron", "every"),
    [
        (crontab(), "* * * * *", None),
        (crontab(minute=0, hour="*/3"), "0 */3 * * *", None),
        (crontab(30, "7-9", "mon-fri"), "30 7-9 * * 1-5", None),
        (crontab(minute="0,30", hour="22-2", day_of_week="sunday"), "*/30 0-2,22-23 * * 0", None),
        (crontab(0, 0, day_of_month="1,15", month_of_year="jan,6"), "0 0 1,15 1,6 *", None),
        (crontab(0, {8, 20}, day_of_month="*/2", day_of_week=1), "0 8,20 */2 * 1", None),
        (crontab.from_string("5 4 3 * *"), "5 4 3 * *", None),
        (300, "", 300_000_000),
        (timedelta(hours=1), "", 3_600_000_000),
        (interval(run_every=60.0), "", 60_000_000),
    ],
    ids=repr,
)
def test_an_entry_of_the_settings_is_a_schedule(settings: Any, when, cron, every):
    settings.CELERY_BEAT_SCHEDULE = {"sums": {"task": "tests.celery.tasks.add", "schedule": when}}
    settings.CELERY_BEAT_SCHEDULE["sums"]["args"] = (1, 2)

    found = named("sums")

    assert (found.cron, found.every, found.error) == (cron, every, "")
    assert (found.task_path, found.timezone) == ("tests.celery.tasks.add", "UTC")
    assert json.loads(found.arguments) == [[1, 2], {}]


@pytest.mark.parametrize("text", ["60", "*/0", "x", "1-", "", "8-99"])
def test_a_crontab_refuses_what_a_field_cannot_have(text):
    with pytest.raises(ValueError, match="crontab"):
        crontab(minute=text)


def test_a_crontab_of_celery_is_taken_too():
    celery = pytest.importorskip("celery.schedules")
    from offload.celery.schedules.crontabs import timing_of  # noqa: PLC0415

    assert timing_of(celery.crontab(30, "7-9", "mon-fri")) == ("30 7-9 * * 1-5", None)
    assert timing_of(celery.schedule(60)) == (None, timedelta(minutes=1))


def test_the_options_of_an_entry_are_those_of_its_jobs(settings: Any):
    settings.CELERY_TIMEZONE = "Europe/Berlin"
    settings.CELERY_BEAT_SCHEDULE = {
        "mail": {
            "task": "tests.celery.tasks.echo",
            "schedule": crontab(0, 3),
            "kwargs": {"on": date(2026, 1, 2)},
            "options": {"queue": "mail", "priority": 7, "expires": 60, "soft_time_limit": 5},
        }
    }

    found = named("mail")
    job = JobTemplate.from_json(found.job)

    assert (job.queue_name, job.priority, job.expires) == ("mail", 70, 60)
    assert found.timezone == "Europe/Berlin"
    assert found.overlap == "allow"
    assert json.loads(found.arguments)[1]["__celery__"] == {"soft_time_limit": 5}


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"task": "tests.celery.tasks.ad", "schedule": 60}, "There is no task"),
        ({"task": "tests.celery.tasks.add", "schedule": 60}, "add"),
        ({"task": "tests.celery.tasks.note", "schedule": "daily"}, "must be a number of seconds"),
        ({"task": "tests.celery.tasks.note", "schedule": 0.5}, "at least a second"),
        ({"task": "tests.celery.tasks.note"}, "must be a number of seconds"),
        (
            {
                "task": "tests.celery.tasks.note",
                "schedule": crontab(day_of_week="mon", day_of_month="2-7"),
            },
            "both day_of_month and day_of_week",
        ),
        (
            {"task": "tests.celery.tasks.note", "schedule": 60, "options": {"link": "x"}},
            "cannot have link",
        ),
    ],
    ids=str,
)
def test_an_entry_that_cannot_tick_is_an_error_of_the_check(settings: Any, entry, text):
    settings.CELERY_BEAT_SCHEDULE = {"bad": entry}

    [error] = errors()

    assert "cannot tick" in error
    assert text in error


@pytest.mark.django_db
def test_receivers_add_periodic_tasks_once(app: Celery):
    calls: list[Any] = []

    @app.on_after_configure.connect
    def add_some(sender: Celery, **_: Any) -> None:
        calls.append("configure")
        sender.add_periodic_task(60, tasks.note.s("hello"), name="every minute")
        sender.add_periodic_task(crontab(0, 3), tasks.note.s("night", "x"), queue="mail")

    @app.on_after_finalize.connect
    def note_end(sender: Celery, **_: Any) -> None:
        calls.append("finalize")

    assert named("every minute").every == 60_000_000
    name = "tests.celery.tasks.note('night', 'x')"
    assert named(name).cron == "0 3 * * *"
    assert JobTemplate.from_json(named(name).job).queue_name == "mail"
    assert calls == ["configure", "finalize"]


@pytest.mark.django_db
def test_a_tick_makes_a_job_that_runs_the_task(app: Celery):
    tasks.events.clear()
    entry = {"task": "tests.celery.tasks.note", "schedule": crontab(7, 3)}
    app.conf.beat_schedule = {"tick": {**entry, "args": [date(2026, 1, 2)]}}

    assert len(run_schedules(at=datetime(2036, 1, 2, 3, 7, tzinfo=UTC))) == 1
    run_jobs()

    assert tasks.events == [[date(2026, 1, 2)]]


def test_the_settings_of_a_project_with_celery_itself_are_not_read(settings: Any, monkeypatch):
    settings.CELERY_BEAT_SCHEDULE = {"theirs": {"task": "proj.tasks.theirs", "schedule": 60}}
    monkeypatch.setattr("offload.celery.tasks.current._current", [])
    monkeypatch.setattr("offload.celery.schedules.periodic.tasks", Registry())

    assert list(periodic_tasks()) == []


def test_a_canvas_cannot_be_periodic(app: Celery):
    with pytest.raises(NotImplementedError, match="signature of one task"):
        app.add_periodic_task(60, chain(tasks.add.s(1, 2), tasks.double.s()))


def nightly(greeting: str = "") -> None: ...


def test_the_decorator_schedule_takes_a_shared_task():
    task = schedule("0 3 * * *", name="nightly", kwargs={"greeting": "hi"})(
        shared_task(name="nightly of tests")(nightly)
    )
    try:
        found = named("nightly")
    finally:
        registry.unregister(task)

    assert (found.cron, found.error) == ("0 3 * * *", "")
    assert json.loads(found.arguments) == [[], {"greeting": "hi"}]
