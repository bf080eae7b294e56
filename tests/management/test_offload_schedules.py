"""`offload_schedules` on a database with schedules."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from offload import schedules
from offload.models import Job, Schedule
from offload.schedules import decorator
from offload.store import get_store
from tests.schedules.factories import HOUR, fire, make, make_due

pytestmark = pytest.mark.django_db


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_schedules", *args, stdout=output, stderr=output)
    return output.getvalue().strip()


def test_an_empty_list_says_so() -> None:
    text = run_command("list")

    assert text.startswith("No schedules. Those of the code exist once a worker has started")
    assert text.endswith("or after: python manage.py offload_schedules sync")


def test_an_empty_list_after_sync_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run_command("sync")  # imports the tasks
    Schedule.objects.all().delete()
    monkeypatch.setattr(decorator, "_declared", defaultdict(list))

    assert run_command("sync") == "No schedules."


def test_the_list_has_a_line_for_each() -> None:
    make("a", every=300)
    make("b", cron="0 3 * * *", every=None, timezone="Europe/Berlin")

    header, first, second = run_command("list").splitlines()

    assert header.split()[:2] == ["NAME", "WHEN"]
    assert "every 5 minutes" in first
    assert "active" in first
    assert "Europe/Berlin" in second


def test_times_are_in_the_time_zone_of_the_schedule() -> None:
    make_due(ago=5 * HOUR, timezone="Asia/Tokyo")
    fire()
    make("paused", timezone="Asia/Tokyo").pause(until=HOUR)

    assert run_command("list").count(" JST ") == 1
    shown = run_command("show", "nightly")
    assert shown.count(" JST") == 5 + 2  # the last and the skipped tick
    assert " UTC" not in shown
    assert re.search("paused: .* JST\nuntil: .* JST", run_command("show", "paused"))


def test_show_has_the_words_and_the_next_runs() -> None:
    make(cron="0 3 * * *", every=None, timezone="Europe/Berlin")

    text = run_command("show", "nightly")

    assert "At 03:00 every day" in text
    assert text.count("03:00:00 CE") == 5


def test_the_output_is_in_english_whatever_language_is_active() -> None:
    make("a", every=300)

    with translation.override("de"):
        assert "Every 5 minutes" in run_command("show", "a")
        assert run_command("preview", "0 3 * * *").startswith("At 03:00 every day.")


def test_show_says_what_was_skipped_and_why() -> None:
    make_due(ago=5 * HOUR)
    fire()

    text = run_command("show", "nightly")

    assert re.search(r"skipped: +5, last \w{3} 20", text)
    assert "catch_up" in text


def test_a_tick_that_waits_for_room_is_shown() -> None:
    make_due()
    get_store("default").fire_schedules(lambda _backend, _queue: False)

    assert " queue full " in run_command("list")
    assert re.search(
        r"waits for: +room in the queue default, since \w{3} ", run_command("show", "nightly")
    )
    assert json.loads(run_command("show", "nightly", "--json"))["full_queue"] == "default"


def test_pause_and_resume() -> None:
    make()

    text = run_command("pause", "nightly", "--until", "2h", "--reason", "bug 17", "--by", "ada")

    assert "by ada" in text
    assert "bug 17" in text
    until = schedules.get("nightly").row.paused_until
    assert until is not None
    assert 1.9 * HOUR < until - timezone.now() <= 2 * HOUR
    text = run_command("resume", "nightly")
    assert "active" in text
    assert "was not paused" not in text


def test_resume_says_that_a_schedule_was_not_paused() -> None:
    next_run_at = make().next_run_at

    assert run_command("resume", "nightly").startswith("The schedule 'nightly' was not paused.")
    assert schedules.get("nightly").next_run_at == next_run_at


def test_resume_refuses_a_retired_schedule() -> None:
    make()
    Schedule.objects.update(retired_at=timezone.now(), next_run_at=None)

    with pytest.raises(CommandError, match="'nightly' is retired, and ticks no more"):
        run_command("resume", "nightly")


def test_run_prints_the_id_of_an_extra_job() -> None:
    make()

    assert run_command("run", "nightly") == str(Job.objects.get().pk)


def test_backfill_prints_the_ids() -> None:
    make(cron="@daily", every=None, timezone="UTC")

    ids = run_command("backfill", "nightly", "2026-03-01T00:00Z", "2026-03-03T12:00Z")

    jobs = Job.objects.order_by("scheduled_for")
    assert ids.splitlines() == [str(job.pk) for job in jobs]
    assert jobs[0].scheduled_for == datetime(2026, 3, 1, tzinfo=UTC)


def test_delete() -> None:
    make()

    assert run_command("delete", "nightly") == "Deleted nightly."
    assert schedules.list() == []


def test_preview_needs_no_schedule() -> None:
    text = run_command("preview", "0 9 * * MON#1", "--timezone", "Asia/Tokyo", "--count", "2")

    assert text.startswith("At 09:00 on the first Monday of the month.")
    assert text.count("Mon 20") == 2
    assert text.count("JST") == 2


def test_sync_writes_the_schedules_of_the_code() -> None:
    assert "leap days of the tests" in run_command("sync")
    assert schedules.get("leap days of the tests").state == "active"


def test_each_has_a_json_form() -> None:
    make()

    (document,) = json.loads(run_command("list", "--json"))
    assert document["name"] == "nightly"
    assert len(document["next_runs"]) == 5
    assert json.loads(run_command("show", "nightly", "--json")) == document
    assert len(json.loads(run_command("run", "nightly", "--json"))) == 1
    assert "words" in json.loads(run_command("preview", "@daily", "--json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nighly"], "Did you mean 'nightly'"),
        (["preview", "61 * * * *"], "its minute is not valid"),
        (["preview", "0 9 31 2 *"], "never matches: none of its months has that day"),
        (["preview", "@daily", "--timezone", "Mars"], "no time zone 'Mars'"),
        (["pause", "nightly", "--until", "yesterday"], "'yesterday' is no time"),
        (["pause", "nightly", "--until", "99999999999d"], "is too long"),
        (["pause", "nightly", "--until", "9999999d"], "is too long"),
        (["pause", "nightly", "--until", "2020-01-01"], "in the future"),
        (["backfill", "nightly", "2020-01-01", "2026-01-01"], "more than 1000 times"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], words: str) -> None:
    make()

    with pytest.raises(CommandError, match=words):
        run_command(*arguments)
