"""Schedules of the code and the settings: what they define, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import Any

import pytest
from django.tasks import task as django_task
from django.test import override_settings

from offload import schedule
from offload.checks.registered import check_schedules
from offload.schedules.in_code import declared_schedules
from offload.store.schedule_records import JobTemplate, ScheduleDefinition
from offload.timestamps import to_microseconds
from tests.schedules import tasks

DATABASE = "offload.backends.database.DatabaseBackend"


def declared(name: str) -> ScheduleDefinition:
    return {one.name: one for one in declared_schedules()}[name]


def errors() -> list[str]:
    return [str(message.msg) for message in check_schedules() if message.id == "offload.E051"]


@django_task
def plain(number: int) -> None:
    """Is a task of Django."""


def test_a_task_has_a_schedule_that_bears_its_path() -> None:
    assert schedule("0 3 * * *", timezone="Europe/Berlin")(tasks.note) is tasks.note

    one = declared(tasks.note.module_path)
    assert (one.cron, one.every, one.timezone) == ("0 3 * * *", None, "Europe/Berlin")
    assert (one.source, one.backend, one.arguments) == ("code", "default", "[[],{}]")
    assert (one.catch_up, one.overlap, one.deadline) == ("once", "skip", None)


def test_a_task_may_have_several() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    schedule(every=timedelta(minutes=5), name="often", jitter=20, start=start)(
        schedule("0 9 * * MON#1", name="monthly", kwargs={"text": "a"}, priority=10)(tasks.note)
    )

    assert declared("often").every == 300_000_000
    assert declared("often").start_at == to_microseconds(start)
    assert declared("often").jitter == 20
    assert declared("monthly").arguments == '[[],{"text":"a"}]'
    assert JobTemplate.from_json(declared("monthly").job).priority == 10


def test_a_task_of_django_may_have_one() -> None:
    schedule("@daily", args=[1])(plain)

    assert declared(plain.module_path).arguments == "[[1],{}]"


def test_a_naive_start_is_in_the_time_zone_of_the_schedule() -> None:
    start = datetime(2026, 3, 1, 12)  # noqa: DTZ001
    schedule("@daily", name="a", timezone="Asia/Tokyo", start=start)(tasks.note)

    assert declared("a").start_at == to_microseconds(datetime(2026, 3, 1, 3, tzinfo=UTC))


def test_a_schedule_below_task_says_where_it_belongs() -> None:
    with pytest.raises(TypeError, match="@schedule belongs above @task"):
        schedule("@daily")(lambda: None)  # type: ignore[type-var]


@pytest.mark.parametrize("given", [tasks.note, tasks.note.func])
def test_a_schedule_without_parentheses_says_how_to_write_it(given: Any) -> None:
    with pytest.raises(TypeError, match=r'It needs parentheses: @schedule\("0 3 \* \* \*"\)'):
        schedule(given)


@pytest.mark.parametrize(
    ("cron", "options", "words"),
    [
        ("61 * * * *", {}, "its minute is not valid"),
        ("0 0 */31 2 MON#5", {}, "never matches"),
        (None, {}, "or every=timedelta(hours=1): it has neither."),
        ("@daily", {"every": 60}, "or every=timedelta(hours=1): not both '@daily' and 60."),
        (timedelta(hours=1), {}, "write every=datetime.timedelta(seconds=3600)"),
        (None, {"every": 0.5}, "at least a second"),
        (None, {"every": "5m"}, "every: A duration must be seconds"),
        ("@daily", {"timezone": "Europe/Berln"}, "There is no time zone 'Europe/Berln'"),
        ("@daily", {"kwargs": {"txt": 1}}, "unexpected keyword argument 'txt'"),
        ("@daily", {"kwargs": {"text": object()}}, "text"),
        ("@daily", {"priority": 1000}, "priority must be a whole number"),
        ("@daily", {"queue_name": "a,b"}, "queue name 'a,b'"),
        (
            "@daily",
            {"catch_up": "twice"},
            "catch_up cannot be 'twice'. Choices are: once, all, skip.",
        ),
        ("@daily", {"overlap": "no"}, "overlap cannot be 'no'. Choices are: skip, allow, wait."),
        ("@daily", {"catch_up": "all"}, "Choose overlap"),
        ("@daily", {"deadline": -1}, "deadline: A duration must be"),
        ("0 * * * *", {"jitter": 3600}, "shorter than the 3600 s between two ticks"),
        ("@daily", {"end": "tomorrow"}, "end must be a datetime"),
        ("@daily", {"name": "a:b"}, "without a colon"),
        ("@daily", {"jiter": 3}, "no option 'jiter'. Did you mean 'jitter'?"),
    ],
)
def test_one_that_cannot_tick_is_an_error_of_check_and_not_of_the_import(
    cron: Any, options: dict[str, Any], words: str
) -> None:
    schedule("@daily", name="right")(tasks.note)
    schedule(cron, **{"name": "wrong", **options})(tasks.note)

    (error,) = errors()
    assert words in error
    assert not declared("right").error


def test_a_jitter_is_right_or_wrong_whatever_the_date_is(time_machine: Any) -> None:
    """In the last of these nights, 2:30 is at 3:00, half an hour before 3:30."""
    schedule("30 2,3 * * *", name="a", timezone="Europe/Berlin", jitter=2000)(tasks.note)

    found = []
    for day in (1, 27, 28):
        time_machine.move_to(datetime(2026, 3, day, 12, tzinfo=UTC))
        found.append(errors())
    assert found == [[], [], []]


def test_an_error_of_a_task_names_its_path_once() -> None:
    schedule("@daily", name="a", kwargs={"txt": 1})(tasks.note)
    schedule("@daily", name="b", queue_name="a,b")(tasks.note)

    assert [error.count(tasks.note.module_path) for error in errors()] == [1, 1]


class Strange:
    """Raises what nobody foresees."""

    def __str__(self) -> str:
        return "strange"

    def __bool__(self) -> bool:
        raise ZeroDivisionError("strange")


def test_an_error_that_nobody_foresaw_keeps_no_other_from_ticking() -> None:
    schedule("@daily", name="right")(tasks.note)
    schedule("@daily", name="wrong", catch_up=Strange())(tasks.note)  # type: ignore[typeddict-item]

    assert "ZeroDivisionError: strange" in errors()[0]
    assert not declared("right").error


def test_the_jobs_of_a_schedule_have_the_key_of_their_arguments() -> None:
    schedule("@daily", name="right", kwargs={"text": "x"})(tasks.unique_and_limited)

    assert errors() == []
    unique = JobTemplate.from_json(declared("right").job).unique
    assert unique is not None
    assert unique.key.endswith("unique_and_limited:x")


def test_overlap_wait_refuses_a_task_with_a_limit() -> None:
    schedule("@daily", name="wrong", overlap="wait")(tasks.limited)

    assert "has a limit" in errors()[0]


def test_two_with_one_name_are_an_error_and_the_first_ticks() -> None:
    schedule("@weekly")(schedule("@daily")(tasks.note))

    assert "Several schedules have this name" in errors()[0]
    assert declared(tasks.note.module_path).cron == "@daily"


def test_a_module_that_is_loaded_again_replaces_its_schedules() -> None:
    schedule("@daily")(tasks.note)
    old = tasks.note.func
    new = FunctionType(old.__code__, old.__globals__, "note", old.__defaults__)
    schedule("@weekly")(replace(tasks.note, func=new))

    assert [one.cron for one in declared_schedules()] == ["@weekly"]
    assert errors() == []


def with_schedules(**schedules: Any) -> Any:
    options = {"schedules": schedules}
    return override_settings(TASKS={"default": {"BACKEND": DATABASE, "OPTIONS": options}})


def test_the_settings_have_schedules_too() -> None:
    path = tasks.note.module_path
    with with_schedules(nightly={"task": path, "cron": "0 3 * * *", "kwargs": {"text": "b"}}):
        one = declared("nightly")

    assert (one.source, one.task_path, one.cron) == ("settings", path, "0 3 * * *")
    assert one.arguments == '[[],{"text":"b"}]'


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"cron": "@daily"}, "'task' must be the path of a task"),
        ({"task": "tests.schedules.tasks.gone", "cron": "@daily"}, "There is no task"),
        ({"task": "tests.schedules.tasks.noet", "cron": "@daily"}, "Did you mean 'note'?"),
        ({"task": "offload.maintenance.backup", "cron": "@daily"}, "Did you mean 'back_up'?"),
        ({"task": "shpo.tasks.note", "cron": "@daily"}, "belongs to no installed app"),
        ({"task": "note", "cron": "@daily"}, "Pass its whole path"),
        ({"task": "tests.schedules.tasks.note"}, "needs a cron expression"),
    ],
)
def test_a_setting_that_cannot_tick_is_an_error_that_names_its_place(
    setting: dict[str, Any], words: str
) -> None:
    with with_schedules(nightly=setting):
        (error,) = [message for message in check_schedules() if message.id == "offload.E051"]

    assert words in str(error.msg)
    assert error.hint == ("It is defined in TASKS['default']['OPTIONS']['schedules']['nightly'].")


def test_schedules_that_are_no_dicts_are_an_error_of_the_options() -> None:
    with override_settings(
        TASKS={"default": {"BACKEND": DATABASE, "OPTIONS": {"schedules": ["a"]}}}
    ):
        from django.tasks import default_task_backend  # noqa: PLC0415

        (error,) = [*default_task_backend.check()][:1]
    assert "must be a dict of dicts" in str(error.msg)


def test_one_that_is_no_dict_is_named() -> None:
    with with_schedules(nightly={"task": "a.b", "cron": "@daily"}, hourly="0 * * * *"):
        from django.tasks import default_task_backend  # noqa: PLC0415

        (error,) = [*default_task_backend.check()][:1]
    assert "OPTIONS['schedules']['hourly'] must be a dict" in str(error.msg)
    assert "not '0 * * * *'" in str(error.msg)
    assert "nightly" not in str(error.msg).replace("shop.tasks.nightly", "")
