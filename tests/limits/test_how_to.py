"""The examples of docs/howto/limit-jobs.md do what the page says."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

from offload import acting_for, limits
from offload.lifecycle import succeeded
from offload.store.records import ClaimedJob
from tests import how_to
from tests.how_to import Load
from tests.jobs import register_worker
from tests.limits.claims import claim

PAGE = how_to.page("limit-jobs")

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> str:
    return register_worker()


def keys(jobs: list[ClaimedJob]) -> Counter[str]:
    return Counter(str(job.limit_key).partition(":")[2] for job in jobs)


def test_an_api_is_called_five_times_at_once_and_ten_times_before_its_rate_waits(
    load: Load, worker: str
) -> None:
    load("crm").push_orders.enqueue_many([((n,), {}) for n in [1] * 20 + [2]])

    first = claim(worker)
    assert keys(first) == {"1": 5, "2": 1}
    done = [(job, succeeded("null")) for job in first]
    assert keys(claim(worker, *done)) == {"1": 5}  # the burst is used up


def test_tasks_share_a_limit_with_a_total(load: Load, worker: str) -> None:
    warehouse = load("warehouse")
    for account in range(10):
        warehouse.push_stock.enqueue(account)
        warehouse.pull_stock.enqueue(account)

    starts = defaultdict(list)
    for job in claim(worker):
        starts[job.limit_key].append(job.last_attempted_at)
    assert len(starts) == 10
    for first, *others in starts.values():  # the rate starts one of each account at once
        assert all(other - first >= 100_000 for other in others)
    assert limits.get("warehouse").numbers.total == 20


def test_customers_have_limits_of_their_own(load: Load, worker: str) -> None:
    export = load("exports").export_shop
    export.enqueue_many([(("a", "basic"), {})] * 3 + [(("b", "business"), {})] * 20)

    assert keys(claim(worker)) == {"a": 1, "b": 10}


def test_imports_of_a_shop_run_in_their_order(load: Load, worker: str) -> None:
    imports = load("imports").import_products
    first, second = imports.enqueue_many([((1, "a"), {}), ((1, "b"), {})])
    other = imports.enqueue(2, "c")

    one, two = claim(worker)
    assert {one.id.replace("-", ""), two.id.replace("-", "")} == {
        first.id.replace("-", ""),
        other.id.replace("-", ""),
    }
    (three,) = claim(worker, (one, succeeded("null")), (two, succeeded("null")))
    assert three.id.replace("-", "") == second.id.replace("-", "")


@pytest.mark.parametrize("name", ["documents.build_document", "videos.convert_video"])
def test_tenants_take_turns(load: Load, worker: str, name: str) -> None:
    module, task = name.split(".")
    for tenant, count in (("big", 20), ("small", 1)):
        with acting_for(None, tenant=tenant):
            getattr(load(module), task).enqueue_many([((n,), {}) for n in range(count)])

    turns = [keys(claim(worker, slots=1)) for _ in range(3)]

    assert sum(turns, Counter()) == {"big": 2, "small": 1}


def test_videos_have_eight_slots_for_all_tenants(load: Load, worker: str) -> None:
    for tenant in "ab":
        with acting_for(None, tenant=tenant):
            load("videos").convert_video.enqueue_many([((n,), {}) for n in range(9)])

    assert len(claim(worker)) == 8


def test_a_refresh_never_overlaps(load: Load, worker: str) -> None:
    load("cache").refresh_cache.enqueue_many([((), {})] * 3)

    (job,) = claim(worker)
    assert claim(worker) == []
    assert len(claim(worker, (job, succeeded("null")))) == 1


def test_operators_change_a_limit_in_python(load: Load, worker: str) -> None:
    operators = load("operators")
    load("warehouse").push_stock.enqueue_many([(("a",), {}), (("a",), {})])
    claim(worker)

    operators.slow_down(SimpleNamespace(username="ada"))
    assert limits.get("warehouse").changed_by == "ada"
    operators.back_to_normal()
    assert limits.get("warehouse").changed_at is None
    assert operators.busiest_accounts() == [("a", 1, 1)]


def test_its_commands_are_valid() -> None:
    assert how_to.parse_commands(PAGE) == 5
