"""The statements of schedules find their rows through the indexes that were made for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from offload.models import Job, Schedule
from offload.store import get_store
from tests.schedules.factories import fire, make_due
from tests.store.test_query_plans import empty, explained

pytestmark = pytest.mark.django_db

SCHEDULES = 500
SCANS = {
    "sqlite": r"SCAN offload_schedule\b(?! USING)",
    "postgresql": r"Seq Scan on offload_schedule\b|Sort Key: \S*next_run_at",
    "mysql": r"'offload_schedule', 'ALL'|filesort",
}


@pytest.fixture(scope="module")
def _rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Fill the tables, outside the tests' transactions: one schedule is due, the others later."""
    with django_db_blocker.unblock():
        make_due()
        values = Schedule.objects.values().get()
        last = values["next_run_at"].replace(year=2099)
        Schedule.objects.bulk_create(
            Schedule(**values | {"name": f"s{number}", "next_run_at": last})
            for number in range(SCHEDULES)
        )
        yield
        empty()
        Schedule.objects.all().delete()


@pytest.fixture(params=["young", "analyzed"])
def _analyzed(request: pytest.FixtureRequest, _rows: None) -> None:
    if request.param == "analyzed":
        with connection.cursor() as cursor:
            mysql = connection.vendor == "mysql"
            cursor.execute(f"ANALYZE {'TABLE ' if mysql else ''}offload_schedule")
            if mysql:
                cursor.fetchall()


@pytest.mark.usefixtures("_analyzed")
def test_a_firing_reads_only_the_rows_that_are_due() -> None:
    with explained() as plans:
        assert fire() == 1

    text = "\n".join(plan for plan in plans if "offload_schedule" in plan)
    assert "offload_schedule_next" in text, text
    assert not re.search(SCANS[connection.vendor], text), text


@pytest.mark.usefixtures("_analyzed")
def test_a_poll_reads_one_entry_of_the_index() -> None:
    with explained() as plans:
        get_store("default").poll("default")

    text = "\n".join(plan for plan in plans if "offload_schedule" in plan)
    assert "offload_schedule_next" in text, text
    assert not re.search(SCANS[connection.vendor], text), text


@pytest.mark.usefixtures("_rows")
def test_a_tick_costs_five_statements_and_a_savepoint() -> None:
    """Two ask for the next one, one locks the row, one moves it, and one adds the job."""
    statements: list[str] = []

    def record(execute: Any, sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(record):
        fire()

    own = [sql for sql in statements if re.search("offload_(schedule|job)", sql)]
    assert Job.objects.count() == 1
    assert len(own) == 5, own
