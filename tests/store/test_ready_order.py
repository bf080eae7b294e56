"""The order in which ready jobs will run."""

from __future__ import annotations

from uuid import UUID

import pytest

from offload.store import get_store
from tests.jobs import claim, register_worker
from tests.tasks import aadd, add

pytestmark = pytest.mark.django_db


def ready_order(
    queue_name: str = "default", *, is_async: bool = False, limit: int = 100
) -> list[UUID]:
    return get_store("default").ready_order("default", queue_name, is_async=is_async, limit=limit)


def test_jobs_are_in_the_order_of_claims():
    for priority in (0, 7, -3, 7, 0):
        add.using(priority=priority).enqueue(1)
    order = ready_order()

    assert [str(pk) for pk in order] == [str(UUID(job.id)) for job in claim(register_worker())]
    assert ready_order() == []


def test_each_queue_and_kind_has_its_own_order():
    jobs = [add.enqueue(1), add.using(queue_name="mail").enqueue(1), aadd.enqueue(1)]

    orders = [ready_order(), ready_order("mail"), ready_order(is_async=True)]

    assert orders == [[UUID(job.id)] for job in jobs]
    assert ready_order("mail", is_async=True) == []


def test_only_the_first_jobs_are_read():
    add.enqueue_many([((number,), {}) for number in range(5)])

    assert ready_order(limit=3) == ready_order()[:3]
