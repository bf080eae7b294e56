"""The statements of unique jobs find their rows by index, and are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload.models import Job
from tests import unique_tasks as tasks
from tests.store.test_query_plans import analyze, assert_index, empty, explained
from tests.tasks import add

pytestmark = pytest.mark.django_db

KEYS = 3_000


@pytest.fixture(scope="module")
def rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Fill the table, outside the tests' transactions."""
    with django_db_blocker.unblock():
        add.enqueue_many([((1, 2), {})] * 3_000)
        tasks.within_an_hour.enqueue_many([((str(number),), {}) for number in range(KEYS)])
        tasks.replaced.enqueue_many([((str(number),), {}) for number in range(100)])
        yield
        empty()


@pytest.fixture(params=["young", "analyzed"])
def statistics(request: pytest.FixtureRequest, rows: None) -> None:
    if request.param == "analyzed":
        analyze()


def new_job() -> None:
    assert tasks.within_an_hour.enqueue("new").is_new


def existing_job() -> None:
    assert not tasks.within_an_hour.enqueue("7").is_new


def replaced_job() -> None:
    assert not tasks.replaced.enqueue("7").is_new


def expired_key() -> None:
    job = tasks.within_an_hour.enqueue("8")
    Job.objects.filter(pk=job.id).update(
        state=4, finished_at=timezone.now(), unique_within=timezone.now()
    )
    with explained() as plans:
        assert tasks.within_an_hour.enqueue("8").is_new
    assert_index(plans, "offload_job_unique")


def many_jobs() -> None:
    calls = [((str(number),), {}) for number in range(KEYS - 20, KEYS + 20)]
    assert sum(result.is_new for result in tasks.within_an_hour.enqueue_many(calls)) == 20


@pytest.mark.parametrize("operation", [new_job, existing_job, replaced_job, expired_key, many_jobs])
@pytest.mark.usefixtures("statistics")
def test_holders_of_keys_are_found_by_index(operation: Callable[[], None]) -> None:
    with explained() as plans:
        operation()

    if operation is not expired_key:
        assert_index([plan for plan in plans if "offload_job" in plan], "offload_job_unique")


STATEMENTS = {
    "sqlite": {"new": 1, "existing": 3, "replaced": 4, "many": 100},
    "postgresql": {"new": 1, "existing": 3, "replaced": 4, "many": 1},
    "mysql": {"new": 4, "existing": 6, "replaced": 7, "many": 4},
}


@pytest.mark.usefixtures("rows")
def test_a_call_costs_few_statements() -> None:
    counts = {}
    calls = [((str(number),), {}) for number in range(50, 150)]
    for name, call in {
        "new": lambda: tasks.import_shop.enqueue("new"),
        "existing": lambda: tasks.import_shop.enqueue("new"),
        "replaced": lambda: tasks.replaced.enqueue("7"),
        "many": lambda: tasks.import_shop.enqueue_many(calls),
    }.items():
        with CaptureQueriesContext(connection) as queries:
            call()
        counted = [q for q in queries if "SAVEPOINT" not in q["sql"]]
        counts[name] = len(counted)

    assert counts == STATEMENTS[connection.vendor]
