"""New numbers of limits hold for jobs that wait already."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from offload.lifecycle import succeeded
from offload.models import Limit
from offload.store.base import Store
from offload.store.limit_records import Definition, KeyDetails
from offload.store.records import ClaimedJob
from offload.task_limits import LOADED_AT
from tests import limited_tasks as tasks
from tests.store.limit_claims import by_key, claim

pytestmark = pytest.mark.django_db


def keep(store: Store, task: object, **numbers: int) -> None:
    store.keep_limits({task.module_path: Definition(json.dumps(numbers), LOADED_AT)})  # type: ignore[attr-defined]


def test_a_greater_number_starts_jobs(store: Store, worker: str) -> None:
    tasks.single.enqueue_many([((), {})] * 4)
    assert len(claim(store, worker)) == 1
    assert claim(store, worker) == []

    keep(store, tasks.single, max_running=3)

    assert len(claim(store, worker)) == 2


def test_a_smaller_number_waits_for_jobs_to_finish(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([(("a",), {})] * 5)
    first, second = claim(store, worker)

    keep(store, tasks.call_api, max_running=1)

    assert claim(store, worker) == []
    assert claim(store, worker, finished=((first, succeeded("null")),)) == []
    assert len(claim(store, worker, finished=((second, succeeded("null")),))) == 1


def test_a_higher_rate_starts_jobs(store: Store, worker: str) -> None:
    tasks.rated.enqueue_many([((), {})] * 10)
    assert len(claim(store, worker)) == 3
    assert claim(store, worker) == []

    keep(store, tasks.rated, interval=1_000_000, burst=100)

    assert len(claim(store, worker)) == 7


def test_a_new_total_holds_for_keys_that_exist(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "aaabbb"])
    jobs = claim(store, worker)
    assert by_key(jobs) == {"a": 2, "b": 2}

    keep(store, tasks.call_api, max_running=3, total=5)

    assert len(claim(store, worker)) == 1


def test_a_total_can_be_removed(store: Store, worker: str) -> None:
    tasks.with_total.enqueue_many([((customer,), {}) for customer in "aaabbbcccddd"])
    jobs: list[ClaimedJob] = claim(store, worker)
    assert len(jobs) == 5

    keep(store, tasks.with_total, max_running=2)

    assert by_key(jobs + claim(store, worker)) == Counter(a=2, b=2, c=2, d=2)


def test_an_operators_number_stays(store: Store, worker: str) -> None:
    tasks.single.enqueue_many([((), {})] * 4)
    assert len(claim(store, worker)) == 1
    Limit.objects.update(override='{"max_running": 2}')

    keep(store, tasks.single, max_running=10)

    assert len(claim(store, worker)) == 1


# --- numbers of several processes -------------------------------------------------------------


def numbers_of(task: object) -> dict[str, int]:
    numbers: dict[str, int] = json.loads(Limit.objects.get(pk=task.module_path).definition)  # type: ignore[attr-defined]
    return numbers


def enqueue_elsewhere(store: Store, maximum: int, *, loaded_at: int) -> None:
    """Leave the notice of a process whose code has another number."""
    name = tasks.single.module_path
    text = json.dumps({"max_running": maximum})
    details = KeyDetails(name, text, "default", "default", False, loaded_at=loaded_at)
    store.add_notices({f"{name}:": details})


@pytest.mark.parametrize(
    ("loaded_at", "started"),
    [(LOADED_AT + 1, 2), (LOADED_AT, 0), (LOADED_AT - 1, 0)],
    ids=["later", "same", "earlier"],  # the times differ in each process
)
def test_a_process_that_enqueues_brings_the_numbers_of_later_code(
    store: Store, worker: str, loaded_at: int, started: int
) -> None:
    tasks.single.enqueue_many([((), {})] * 4)
    assert len(claim(store, worker)) == 1

    enqueue_elsewhere(store, 3, loaded_at=loaded_at)

    assert len(claim(store, worker)) == started


def test_numbers_of_later_code_are_written_once(store: Store, worker: str) -> None:
    enqueue_elsewhere(store, 3, loaded_at=LOADED_AT + 1)
    claim(store, worker)
    tasks.single.enqueue()
    enqueue_elsewhere(store, 3, loaded_at=LOADED_AT + 1)

    with CaptureQueriesContext(connection) as queries:
        claim(store, worker)

    assert not any("INTO offload_limit " in query["sql"] for query in queries)
    assert numbers_of(tasks.single) == {"max_running": 3}


def test_a_worker_with_older_code_leaves_the_numbers_and_learns_them(store: Store) -> None:
    name = tasks.single.module_path
    newer = Definition('{"max_running": 5}', LOADED_AT + 1)
    store.keep_limits({name: newer})

    later = store.keep_limits({name: Definition('{"max_running": 1}', LOADED_AT)})

    assert later == {name: newer.text}
    assert numbers_of(tasks.single) == {"max_running": 5}
    assert store.keep_limits({name: newer}) == {}


def test_a_statement_that_comes_late_changes_nothing(store: Store) -> None:
    """Another worker has written the row between the look and the statement."""
    name = tasks.single.module_path
    store._write_definitions([(name, '{"max_running": 5}', LOADED_AT + 1, 7)])

    store._write_definitions([(name, '{"max_running": 1}', LOADED_AT, 9)])

    limit = Limit.objects.get()
    assert (limit.loaded_at, limit.seen_at) == (LOADED_AT + 1, 9)
    assert numbers_of(tasks.single) == {"max_running": 5}


@pytest.mark.django_db(transaction=True)
def test_a_row_that_an_operator_holds_is_written_later(store: Store) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    keep(store, tasks.single, max_running=1)
    with locked_elsewhere():
        keep(store, tasks.single, max_running=2)
        assert numbers_of(tasks.single) == {"max_running": 1}

    keep(store, tasks.single, max_running=2)

    assert numbers_of(tasks.single) == {"max_running": 2}


@contextmanager
def locked_elsewhere() -> Iterator[None]:
    """Hold the rows of limits, as a transaction of an operator does."""
    transaction_of_another = transaction.atomic()

    def lock() -> None:
        transaction_of_another.__enter__()
        assert Limit.objects.select_for_update().first()

    def release() -> None:
        transaction_of_another.__exit__(None, None, None)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lock).result()
        try:
            yield
        finally:
            thread.submit(release).result()
