"""Who stands where in line."""

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


def test_it_is_the_order_in_which_they_are_claimed():
    for priority in (0, 7, -3, 7, 0):
        add.using(priority=priority).enqueue(1)
    found = ready_order()

    assert [str(pk) for pk in found] == [str(UUID(job.id)) for job in claim(register_worker())]
    assert ready_order() == []


def test_each_queue_and_kind_has_its_own():
    jobs = [add.enqueue(1), add.using(queue_name="mail").enqueue(1), aadd.enqueue(1)]

    found = [ready_order(), ready_order("mail"), ready_order(is_async=True)]

    assert found == [[UUID(job.id)] for job in jobs]
    assert ready_order("mail", is_async=True) == []


def test_only_its_beginning_is_read():
    add.enqueue_many([((number,), {}) for number in range(5)])

    assert ready_order(limit=3) == ready_order()[:3]
