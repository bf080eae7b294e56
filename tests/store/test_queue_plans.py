"""The statements of limits of queues find their rows by index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from offload import queues
from offload.lifecycle import JobState, succeeded
from offload.models import Queue
from offload.policies import Rate
from offload.policies.queue_limits import QueueLimits
from offload.store import get_store
from offload.store.records import ClaimRequest
from offload.store.statements import statement
from tests.jobs import register_worker
from tests.store.test_query_plans import analyze, assert_index, empty, explained, fill

pytestmark = pytest.mark.django_db

SCANS = {
    "sqlite": r"SCAN offload_queue\b(?! USING)",
    "postgresql": r"Seq Scan on offload_queue\b",
    "mysql": r"'offload_queue', (None, )?'ALL'",
}


@pytest.fixture(scope="module")
def _rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        # So many that no planner prefers to read the table.
        fill(10_000, JobState.SUCCESSFUL, finished_at=timezone.now())
        fill(300, JobState.READY)
        fill(300, JobState.LIMITED, limit_key="crm:1", limit_slot="w:crm:1")
        yield
        empty()
        Queue.objects.all().delete()  # committed by ANALYZE


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("is_analyzed", [False, True])
def test_waiting_jobs_are_counted_by_index(is_analyzed: bool) -> None:
    if is_analyzed:
        analyze()
    store = get_store("default")
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    parameters: dict[str, Any] = {"backend": "default", "queue": "default", "limit": 100}
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {statement(store.dialect, 'count_waiting')}", parameters)
        plan = ["\n".join(str(row) for row in cursor.fetchall())]

    assert_index(plan, "offload_job_ready")
    assert_index(plan, "offload_job_limited")
    assert store.count_waiting("default", "default", 100) == 200
    assert store.count_waiting("default", "default", 1_000) == 602
    assert store.count_waiting("default", "mail", 1_000) == 0


@pytest.fixture(params=["young", "analyzed"])
def worker(request: pytest.FixtureRequest, _rows: None) -> str:
    """Return a worker that runs some jobs of a queue with a limit."""
    store = get_store("default")
    store.add_queues("default", [f"queue{number}" for number in range(200)])
    queues.limit("default", concurrency=100, rate=Rate("1000/s", burst=500))
    if request.param == "analyzed":
        analyze()
    return register_worker()


def test_a_claim_within_limits_finds_jobs_and_queues_by_index(worker: str) -> None:
    limits = {"default": QueueLimits()}
    request = ClaimRequest("default", ("default", "mail"), 20, 20, limits=limits, free=(20, 20))
    store = get_store("default")
    claimed = store.exchange(worker, [], request).claimed
    finished = [(job, succeeded("null")) for job in claimed[:5]]

    with explained() as plans:
        again = store.exchange(worker, finished, request).claimed

    assert len(claimed) == len(again) == 20
    for index in ("offload_job_ready", "offload_job_running"):
        assert_index(plans, index)
    text = "\n".join(plan for plan in plans if "offload_queue" in plan)
    assert text
    assert not re.search(SCANS[connection.vendor], text), text
