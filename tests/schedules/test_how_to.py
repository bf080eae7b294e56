"""The examples of docs/howto/schedule-tasks.md do what the page says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from offload import InvalidSchedule, schedules
from offload.checks.registered import check_schedules
from offload.schedules.in_code import declared_schedules
from offload.schedules.sync import sync
from offload.testing import run_jobs, run_schedules
from tests import how_to
from tests.how_to import Load

PAGE = how_to.page("schedule-tasks")
BERLIN = ZoneInfo("Europe/Berlin")

pytestmark = pytest.mark.django_db


def when() -> dict[str, str]:
    return {one.name: one.cron or f"every {one.every}" for one in declared_schedules()}


def test_all_schedules_of_the_page_can_tick(load: Load) -> None:
    for name in ("tasks", "stock", "digests", "reports"):
        load(name)

    assert [message for message in check_schedules() if message.id == "offload.E051"] == []
    assert when() == {
        "shop.tasks.clean_up": "0 3 * * *",
        "shop.stock.refresh_stock": "every 300000000",
        "weekly digest": "0 7 * * MON",
        "daily digest": "0 6 * * MON-FRI",
        "shop.reports.close_month": "0 0 1 * *",
    }


def test_the_settings_of_the_page_are_valid(load: Load) -> None:
    load("tasks")
    with override_settings(TASKS=load("settings").TASKS):
        assert when()["nightly"] == "0 4 * * *"
        assert [message for message in check_schedules() if message.id == "offload.E051"] == []


def test_a_month_is_closed_by_its_tick(load: Load) -> None:
    load("reports")

    run_schedules(at=datetime(2026, 3, 1, tzinfo=BERLIN))

    assert [result.return_value for result in run_jobs()] == ["2026-03"]


def test_operators_pause_a_digest(load: Load) -> None:
    load("digests")
    sync("default")
    operators = load("operators")

    operators.provider_is_down(SimpleNamespace(username="ada"))

    paused = schedules.get("daily digest")
    assert (paused.state, paused.row.changed_by) == ("paused", "ada")
    assert operators.last_digests() == []


def test_past_months_run_again(load: Load) -> None:
    load("reports")
    sync("default")
    first = datetime(2026, 1, 1, tzinfo=BERLIN)

    results = load("repair").repair(first, first + timedelta(days=89))

    assert len(results) == 3


def test_shops_get_schedules_of_their_own(load: Load) -> None:
    shop = SimpleNamespace(pk=7, feed_url="https://example.com/feed")

    made = load("imports").import_each_hour(shop)

    assert made.name == "feed of 7"
    assert made.next_run_at is not None
    assert made.next_run_at.astimezone(UTC).minute == 0


def test_a_form_refuses_arguments(load: Load) -> None:
    export = load("exports").export_orders

    with pytest.raises(InvalidSchedule, match="days"):
        schedules.create("export", export, "@daily", kwargs={"days": 32})
    assert schedules.create("export", export, "@daily", kwargs={"days": 7})


def test_the_test_of_the_page_passes(load: Load) -> None:
    load("test_schedules").test_the_weekly_digest(None)


def test_its_commands_are_valid() -> None:
    assert how_to.parse_commands(PAGE) == 5
