"""Numbers that operators set: workers go by them at once, until they are reset."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from offload import limits
from offload.lifecycle import JobState, succeeded
from offload.models import Job, Limit, LimitNotice
from offload.policies import Rate
from offload.store import get_store
from offload.store.limit_records import Definition, LimitedRequest
from offload.task_limits import LOADED_AT
from tests.jobs import NO_CLAIM, register_worker
from tests.limits import tasks
from tests.limits.claims import claim
from tests.waiting import wait_until

REASON = "They are slow today"

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> str:
    return register_worker()


def states() -> list[int]:
    return sorted(Job.objects.values_list("state", flat=True))


def test_a_higher_number_lets_more_jobs_start(worker: str) -> None:
    tasks.import_orders.enqueue_many([((customer,), {}) for customer in "aaaabbbb"])
    assert len(claim(worker)) == 3

    limits.change(tasks.import_orders.module_path, total=5, reason=REASON)
    assert len(claim(worker)) == 1  # two of each customer
    limits.change(tasks.import_orders.module_path, concurrency=4, reason=REASON)
    assert len(claim(worker)) == 1
    limits.reset(tasks.import_orders.module_path)
    assert claim(worker) == []


def test_a_lower_number_lets_running_jobs_finish(worker: str) -> None:
    tasks.import_orders.enqueue_many([(("a",), {})] * 4)
    first, second = claim(worker)

    limits.change(tasks.import_orders.module_path, concurrency=1, reason=REASON)

    assert claim(worker, (first, succeeded("null"))) == []
    assert len(claim(worker, (second, succeeded("null")))) == 1


def test_a_reset_lets_more_jobs_start_again(worker: str) -> None:
    tasks.import_orders.enqueue_many([(("a",), {})] * 4)
    assert len(claim(worker, slots=1)) == 1
    limits.change(tasks.import_orders.module_path, concurrency=1, reason=REASON)
    assert claim(worker) == []

    limits.reset(tasks.import_orders.module_path)

    assert len(claim(worker)) == 1


def test_a_higher_rate_counts_at_once_and_not_when_the_old_one_says(worker: str) -> None:
    tasks.push.enqueue_many([(("a",), {})] * 9)
    assert len(claim(worker)) == 2
    assert claim(worker) == []

    limits.change("crm", rate=Rate("1000/s", burst=5), reason=REASON)

    wait_until(lambda: len(claim(worker)) > 0, "the new rate lets jobs start", 2)


@pytest.mark.parametrize(
    ("numbers", "name"),
    [({"concurrency": 4}, "total"), ({"rate": "1/s"}, "total_rate")],
    ids=["concurrency", "rate"],
)
def test_a_number_of_all_keys_does_not_become_one_of_each(
    worker: str, numbers: Any, name: str
) -> None:
    tasks.convert.enqueue("a")
    claim(worker)

    with pytest.raises(ValueError, match=f"counts the jobs of all keys.* change its {name}\\."):
        limits.change(tasks.convert.module_path, reason=REASON, **numbers)

    status = limits.change(tasks.convert.module_path, reason=REASON, total=4, total_rate="1/s")
    assert (status.numbers.total, status.numbers.total_interval) == (4, 1_000_000)


def test_an_operators_number_wins_over_those_of_keys(worker: str) -> None:
    tasks.by_tariff.enqueue_many([(("a",), {})] * 6)
    assert len(claim(worker)) == 3

    limits.change(tasks.by_tariff.module_path, concurrency=5, reason=REASON)

    assert len(claim(worker)) == 2
    limits.reset(tasks.by_tariff.module_path)
    assert claim(worker) == []


def test_the_numbers_of_an_operator_win_over_new_code(worker: str) -> None:
    tasks.push.enqueue("a")
    claim(worker)
    limits.change("crm", concurrency=7, reason=REASON)

    newer = Definition('{"max_running": 9, "interval": 5}', LOADED_AT + 1)
    get_store("default").keep_limits({"crm": newer})

    status = limits.get("crm")
    assert (status.code.max_running, status.numbers.max_running) == (9, 7)
    assert (status.code.interval, status.numbers.interval) == (5, 5)


def test_numbers_that_are_left_out_stay_and_the_last_reason_is_shown(worker: str) -> None:
    tasks.push.enqueue("a")
    claim(worker)
    before = timezone.now()

    limits.change("crm", concurrency=7, reason="first", changed_by="ada")
    status = limits.change("crm", rate="5/m", reason=" second ", changed_by="bob")

    assert (status.numbers.max_running, status.numbers.interval) == (7, 12_000_000)
    assert (status.reason, status.changed_by) == ("second", "bob")
    assert status.changed_at is not None
    assert before <= status.changed_at <= timezone.now()
    status = limits.reset("crm")
    assert status.numbers == status.code
    assert (status.reason, status.changed_by, status.changed_at) == ("", "", None)


def test_a_change_and_its_notices_are_one_transaction(worker: str) -> None:
    tasks.import_orders.enqueue_many([(("a",), {})] * 4)
    claim(worker)

    with transaction.atomic():
        limits.change(tasks.import_orders.module_path, concurrency=4, reason=REASON)
        assert LimitNotice.objects.count() == 1
        transaction.set_rollback(True)

    assert not LimitNotice.objects.exists()
    assert limits.get(tasks.import_orders.module_path).changed_at is None


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        ({}, ValueError, "Nothing to change: pass one of concurrency, total, rate, total_rate"),
        ({"concurrency": 0}, ValueError, "concurrency must be a whole number from 1 to 1,000,000"),
        ({"concurrency": "5"}, ValueError, "concurrency must be a whole number"),
        ({"concurrency": True}, ValueError, "concurrency must be a whole number"),
        ({"total": -1}, ValueError, "total must be a whole number"),
        ({"rate": "many"}, ValueError, 'A rate is text such as "100/m"'),
        ({"rate": Rate("1/s", key="{x}")}, ValueError, "no key and no name"),
        ({"total_rate": 5}, ValueError, 'A rate is text such as "100/m"'),
        ({"total": 5}, ValueError, "The limit 'crm' has no number for all keys together"),
        ({"total_rate": "1/s"}, ValueError, "has no number for all keys together"),
        ({"concurency": 5}, TypeError, "A limit has no 'concurency'"),
        ({"concurrency": 5, "reason": " "}, ValueError, "needs a reason"),
        ({"concurrency": 5, "changed_by": "x" * 151}, ValueError, "more than 150 characters"),
        ({"concurrency": 5, "changed_by": None}, TypeError, "changed_by must be text, not None"),
        ({"concurrency": 5, "name": "cmr"}, LookupError, "Did you mean 'crm'?"),
    ],
)
def test_bad_input_is_a_clear_error_and_changes_nothing(
    worker: str, numbers: dict[str, Any], error: type[Exception], message: str
) -> None:
    tasks.push.enqueue("a")
    claim(worker)

    with pytest.raises(error, match=message.replace("(", r"\(").replace("?", r"\?")):
        limits.change(**{"name": "crm", "reason": REASON, **numbers})

    assert Limit.objects.get().override == ""


def test_an_unknown_limit_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"There is no limit 'crm'\. There is none yet"):
        limits.change("crm", concurrency=1, reason=REASON)
    with pytest.raises(LookupError, match="There is no limit 'crm'"):
        limits.reset("crm")


@pytest.mark.django_db(transaction=True)
def test_a_running_worker_goes_by_the_change_at_once(start_worker: Any, gate: Path) -> None:
    start_worker(threads=4)
    tasks.hold.enqueue_many([((str(gate),), {})] * 2)
    tasks.push.enqueue_many([(("a",), {})] * 3)
    wait_until(
        lambda: states() == [JobState.LIMITED] * 2 + [JobState.RUNNING] + [JobState.SUCCESSFUL] * 2,
        "each limit lets its first jobs start",
    )

    limits.change("holding", concurrency=2, reason=REASON)
    limits.change("crm", rate="1000/s", reason=REASON)

    wait_until(
        lambda: states() == [JobState.RUNNING] * 2 + [JobState.SUCCESSFUL] * 3,
        "all jobs start",
    )
    gate.touch()
    wait_until(lambda: states() == [JobState.SUCCESSFUL] * 5, "all jobs finish")


def test_a_worker_that_read_the_old_numbers_goes_by_the_new_ones(worker: str) -> None:
    tasks.import_orders.enqueue_many([(("a",), {})] * 4)
    assert len(claim(worker)) == 2
    store = get_store("default")
    news = store.make_keys()  # of a worker that goes on later

    limits.change(tasks.import_orders.module_path, concurrency=3, reason=REASON)
    elsewhere = LimitedRequest("default", ("mail",), (), 1, 1)
    store.exchange(register_worker(), (), NO_CLAIM, limited=elsewhere)  # takes the notices
    with transaction.atomic():
        request = LimitedRequest("default", (), (), 1, 1)
        late, _ = store.claim_limited(worker, [request], news, {})

    assert len(late) + len(claim(worker)) == 1


@pytest.mark.django_db(transaction=True)
def test_two_operators_do_not_overwrite_each_other() -> None:
    tasks.push.enqueue("a")
    claim(register_worker())
    has_begun = Event()

    def change_rate() -> None:
        has_begun.set()
        try:
            limits.change("crm", rate="5/m", reason="second")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            limits.change("crm", concurrency=7, reason="first")
            changed = threads.submit(change_rate)
            assert has_begun.wait(10)
        changed.result(30)

    numbers = limits.get("crm").numbers
    assert (numbers.max_running, numbers.interval) == (7, 12_000_000)
