"""Beside many jobs of a paused task, the statements of claims and pauses find rows by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Job, TaskPause
from offload.store import get_store
from offload.store.base import Store
from offload.store.records import ClaimRequest
from tests.jobs import register_worker
from tests.store.test_query_plans import analyze, assert_index, empty, explained, fill
from tests.tasks import add, anything

pytestmark = pytest.mark.django_db

PARKED = 3_000


@pytest.fixture(scope="module")
def _rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        TaskPause.objects.create(
            pk=1, backend="default", task_path=add.module_path, paused_at=timezone.now()
        )
        fill(2_000, JobState.SUCCESSFUL, finished_at=timezone.now())
        fill(PARKED, JobState.LIMITED, limit_slot="p:1")
        fill(1_500, JobState.READY)
        fill(300, JobState.LIMITED, limit_key="crm:1", limit_slot="w:crm:1")
        yield
        empty()
        TaskPause.objects.all().delete()  # committed by ANALYZE


@pytest.fixture(params=["young", "analyzed"])
def store(request: pytest.FixtureRequest, _rows: None) -> Store:
    if request.param == "analyzed":
        analyze()
    return get_store("default")


def claim(store: Store) -> None:
    paused = store.rules("default").ids_of_paused
    anything.using(priority=-5).enqueue()
    request = ClaimRequest("default", ("default", "mail"), 20, 20, paused_tasks=paused)
    worker = register_worker()
    parking = store.exchange(worker, [], request)  # two rounds of at most 1,000 jobs
    assert parking.is_partial
    assert parking.claimed == []
    claimed = store.exchange(worker, [], request).claimed
    assert [job.task_path for job in claimed] == [anything.module_path]


def poll(store: Store) -> None:
    assert store.poll("default").has_parked


def release(store: Store) -> None:
    add.resume()
    assert store.release_parked() == 1_000


@pytest.mark.parametrize(
    ("step", "index"),
    [
        (claim, "offload_job_ready"),
        (claim, "primary"),
        (poll, "offload_job_limited"),
        (release, "offload_job_limited"),
    ],
)
def test_rows_are_found_by_index(store: Store, step: Callable[[Store], None], index: str) -> None:
    with explained() as plans:
        step(store)

    assert_index(plans, index)


def test_the_jobs_of_a_line_are_found_by_index(store: Store) -> None:
    job = Job.objects.filter(limit_slot="w:crm:1").order_by("run_after", "pk").first()
    assert job is not None
    request: Any = {"backend": "default", "queue": None, "is_async": None, "line": "w:crm:1"}
    request |= {"priority": job.priority, "run_after": 0, "id": store.key(job.pk), "limit": 1000}

    with transaction.atomic(), explained() as plans:
        store._prepare_transaction(waits=True)
        found = store.find_from("line_from", request)

    assert len(found) == 301
    assert_index(plans, "offload_job_limited")
