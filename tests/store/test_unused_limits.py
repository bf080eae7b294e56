"""Limits that no code has any more are marked, and deleted when nothing needs them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from offload import limits
from offload.lifecycle import succeeded
from offload.models import Limit, LimitKey, LimitNotice, Worker
from offload.store.base import Store
from offload.store.limit_definitions import SEEN_INTERVAL
from offload.store.limit_records import Definition
from offload.task_limits import LOADED_AT
from offload.timestamps import now_microseconds
from tests import limited_tasks as tasks
from tests.store.limit_claims import claim
from tests.workflow_rows import Flow, S

DAY = 86_400_000_000
WEEK = 7 * DAY
NAME = tasks.single.module_path

pytestmark = pytest.mark.django_db


def unseen_for(days: int) -> None:
    """Let the limit be in no code since some days."""
    Limit.objects.filter(pk=NAME).update(seen_at=now_microseconds() - days * DAY - 1_000_000)


@pytest.fixture
def unused(store: Store, worker: str) -> None:
    """A limit that no code has had for 8 days, without jobs."""
    tasks.single.enqueue()
    (job,) = claim(store, worker)
    claim(store, worker, finished=((job, succeeded("null")),))
    unseen_for(8)


@pytest.mark.parametrize("loaded_at", [LOADED_AT, LOADED_AT - 1], ids=["same code", "older code"])
def test_code_that_has_a_limit_marks_it_once_in_an_hour(store: Store, loaded_at: int) -> None:
    code = {NAME: Definition('{"max_running": 1}', loaded_at)}
    store.keep_limits({NAME: Definition('{"max_running": 2}', LOADED_AT)})
    seen_at = now_microseconds() - SEEN_INTERVAL
    Limit.objects.update(seen_at=seen_at - 1)

    store.keep_limits(code)

    marked = Limit.objects.get()
    assert marked.seen_at > seen_at
    assert marked.definition == f'{{"max_running": {1 if loaded_at == LOADED_AT else 2}}}'
    store.keep_limits(code)
    assert Limit.objects.get().seen_at == marked.seen_at


def test_an_enqueued_job_marks_its_limit(store: Store, worker: str, unused: None) -> None:
    assert not limits.get(NAME).is_in_code

    tasks.single.enqueue()
    claim(store, worker)

    assert limits.get(NAME).is_in_code


def test_a_limit_is_missed_only_while_workers_look(store: Store, unused: None) -> None:
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(days=7, hours=12))

    assert limits.get(NAME).is_in_code

    Worker.objects.update(heartbeat_at=timezone.now())
    status = limits.get(NAME)
    assert not status.is_in_code
    assert timezone.now() - status.seen_at > timedelta(days=8)


def test_an_unused_limit_is_deleted_with_its_keys(store: Store, unused: None) -> None:
    LimitKey.objects.create(limit_key=f"{NAME}:x", name=NAME, backend="default", max_running=3)

    assert store.prune_limits(9 * DAY) == []
    assert store.prune_limits(WEEK) == [NAME]

    assert not Limit.objects.exists()
    assert not LimitKey.objects.exists()


def waits(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    LimitNotice.objects.all().delete()


def is_noticed(store: Store, worker: str) -> None:
    store.add_notices({f"{NAME}:": None})


def runs(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    claim(store, worker)
    unseen_for(8)


def is_scheduled(store: Store, worker: str) -> None:
    tasks.single.using(run_after=timedelta(hours=1)).enqueue()
    LimitNotice.objects.all().delete()


def is_for_a_part_that_waits(store: Store, worker: str) -> None:
    Flow({"a": ((), S), "b": (("a",), S)}, limit_keys={"b": f"{NAME}:"})
    LimitNotice.objects.all().delete()


def is_changed(store: Store, worker: str) -> None:
    limits.change(NAME, concurrency=3, reason="slow")


@pytest.mark.parametrize(
    "use", [waits, is_noticed, runs, is_scheduled, is_for_a_part_that_waits, is_changed]
)
def test_a_limit_in_use_is_not_deleted(store: Store, worker: str, unused: None, use: Any) -> None:
    use(store, worker)

    assert store.prune_limits(WEEK) == []

    assert Limit.objects.filter(pk=NAME).exists()


def test_a_limit_that_an_operator_resets_is_deleted(store: Store, unused: None) -> None:
    limits.change(NAME, concurrency=3, reason="slow")
    limits.reset(NAME)
    LimitNotice.objects.all().delete()

    assert store.prune_limits(WEEK) == [NAME]


def test_the_next_job_makes_a_deleted_limit_again(store: Store, worker: str, unused: None) -> None:
    store.prune_limits(WEEK)

    tasks.single.enqueue_many([((), {})] * 2)

    assert len(claim(store, worker)) == 1
