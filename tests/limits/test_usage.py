"""The limits of a database, with their numbers and jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from offload import limits
from offload.limits.numbers import describe, rate_text
from offload.policies import Rate
from offload.store.limit_records import LimitNumbers
from tests.jobs import register_worker
from tests.limits import tasks
from tests.limits.claims import claim
from tests.management.query_plans import explain_queries

pytestmark = pytest.mark.django_db


def test_limits_are_listed_by_name_with_their_jobs() -> None:
    assert limits.list() == []
    tasks.push.enqueue_many([((customer,), {}) for customer in "aaab"])
    tasks.import_orders.enqueue_many([((customer,), {}) for customer in "aaab"])
    tasks.import_orders.using(run_after=timedelta(hours=1)).enqueue("a")  # does not wait for it
    claim(register_worker())

    crm, imports = limits.list()

    assert (crm.name, crm.running, crm.waiting) == ("crm", 3, 1)
    assert describe(crm.numbers) == {"rate": "1/d", "burst": 2}
    assert (imports.name, imports.running, imports.waiting) == (
        "tests.limits.tasks.import_orders",
        3,
        1,
    )
    assert describe(imports.numbers) == {"concurrency": 2, "total": 3}
    assert imports == limits.get(imports.name)


def test_keys_are_listed_by_the_number_of_waiting_jobs() -> None:
    tasks.push.enqueue_many([((customer,), {}) for customer in "a" + "b" * 4 + "c" * 3])
    claim(register_worker())

    first, second, third = limits.list_keys("crm")

    assert [(key.key, key.running, key.waiting) for key in (first, second, third)] == [
        ("b", 2, 2),
        ("c", 2, 1),
        ("a", 1, 0),
    ]
    assert first.next_start is not None
    day = timedelta(days=1)
    assert timezone.now() + 0.9 * day < first.next_start < timezone.now() + day
    assert third.next_start is None
    assert [key.key for key in limits.list_keys("crm", limit=2)] == ["b", "c"]


def test_the_concurrency_of_a_key_is_its_own() -> None:
    tasks.by_tariff.enqueue("a")
    claim(register_worker())

    (key,) = limits.list_keys(tasks.by_tariff.module_path)

    assert (key.key, key.running, key.concurrency) == ("a", 1, 3)


@pytest.mark.parametrize("text", ["1/s", "7/s", "1000/s", "90/m", "7/m", "100/h", "1/d", "11/d"])
def test_a_rate_is_shown_as_it_was_written(text: str) -> None:
    assert rate_text(Rate(text).interval) == text


def test_a_rate_that_no_unit_fits_is_shown_by_its_interval() -> None:
    assert rate_text(Rate(1, per=2.5).interval) == "24/m"
    assert rate_text(Rate(1, per=86_400 * 3.5).interval) == "one in 302400 s"


def test_numbers_of_all_keys_are_described() -> None:
    numbers = LimitNumbers(total=3, total_interval=600_000, total_burst=4)

    assert describe(numbers) == {"total": 3, "total_rate": "100/m", "total_burst": 4}


def test_jobs_are_counted_in_the_index_of_limited_jobs() -> None:
    tasks.push.enqueue_many([(("a",), {})] * 3)
    claim(register_worker())

    plans = explain_queries(lambda: (limits.list(), limits.list_keys("crm")))

    counts = [plan for plan in plans if "offload_job" in plan and "offload_limit" not in plan]
    assert len([plan for plan in plans if "offload_job_limited" in plan]) == 8, plans
    assert all("offload_job_limited" in plan for plan in counts), counts
