"""Claims of jobs by their ids, as the workers of a fleet make them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from offload import JobState
from offload.models import Job
from offload.store.base import Store
from offload.store.records import ClaimedJob, ClaimRequest
from offload.uuid7 import new_id
from tests.jobs import claim
from tests.tasks import add

pytestmark = pytest.mark.django_db


def claim_ids(store: Store, worker: str, *results: object, backend: str = "default") -> list[str]:
    """Return the ids of the claimed ones among jobs, which are results or ids."""
    ids = [store.key(UUID(str(getattr(result, "id", result)))) for result in results]
    claimed = store.exchange(worker, [], ClaimRequest(backend, (), ids=ids)).claimed
    assert all(isinstance(job, ClaimedJob) for job in claimed)
    return [str(UUID(job.id)) for job in claimed]


def test_the_named_jobs_run_with_a_new_fence_and_no_others(store: Store, worker: str) -> None:
    first, other, second = (add.enqueue(number) for number in range(3))

    assert claim_ids(store, worker, first, second) == [first.id, second.id]

    row = Job.objects.get(pk=first.id)
    assert (row.state, row.fence, row.attempt, row.worker) == (3, 1, 1, UUID(worker))
    assert Job.objects.get(pk=other.id).state == JobState.READY


def test_a_job_is_claimed_once_however_often_it_is_named(store: Store, worker: str) -> None:
    result = add.enqueue(1)

    assert claim_ids(store, worker, result, result) == [result.id]
    assert claim_ids(store, worker, result) == []


def test_jobs_that_are_not_ready_are_left_out(store: Store, worker: str) -> None:
    later = add.using(run_after=timedelta(hours=1)).enqueue(1)
    cancelled = add.enqueue(1)
    cancelled.cancel()

    assert claim_ids(store, worker, later, cancelled, new_id()) == []
    assert Job.objects.get(pk=later.id).state == JobState.SCHEDULED


def test_jobs_of_another_backend_are_left_out(store: Store, worker: str) -> None:
    result = add.enqueue(1)

    assert claim_ids(store, worker, result, backend="other") == []


def test_a_worker_without_a_row_claims_nothing(store: Store) -> None:
    result = add.enqueue(1)

    assert claim_ids(store, store.key(new_id()), result) == []


def test_the_most_urgent_job_comes_first(store: Store, worker: str) -> None:
    usual = add.enqueue(1)
    urgent = add.using(priority=50).enqueue(1)

    assert claim_ids(store, worker, usual, urgent) == [urgent.id, usual.id]


def test_a_claim_by_ids_and_one_of_queues_take_different_jobs(store: Store, worker: str) -> None:
    named, other = add.enqueue(1), add.enqueue(2)

    assert claim_ids(store, worker, named) == [named.id]
    assert [str(UUID(job.id)) for job in claim(worker)] == [other.id]


def test_the_next_ready_jobs_are_read_in_their_order(store: Store, worker: str) -> None:
    usual = add.enqueue(1)
    urgent = add.using(priority=50).enqueue(1)
    due = add.using(run_after=timedelta(seconds=1)).enqueue(1)
    Job.objects.filter(pk=due.id).update(state=JobState.READY)
    add.using(queue_name="mail").enqueue(1)

    jobs = store.next_ready("default", "default", is_async=False, limit=3)

    assert [str(UUID(job.id)) for job in jobs] == [urgent.id, usual.id, due.id]
    assert [job.is_untouched for job in jobs] == [True, True, False]
    assert len(store.next_ready("default", "default", is_async=False, limit=1)) == 1
    assert store.next_ready("default", "default", is_async=True, limit=3) == []


def test_a_ready_job_may_wait_while_it_is_claimed_unless_that_could_harm_it(store: Store) -> None:
    patient = add.enqueue(1)
    add.using(timeout=60).enqueue(1)
    for values in ({"worker_losses": 1}, {"max_worker_losses": 0}, {"max_worker_losses": 1}):
        Job.objects.filter(pk=add.enqueue(1).id).update(**values)

    jobs = store.next_ready("default", "default", is_async=False, limit=10)

    assert [job.id for job in jobs if job.may_wait] == [store.key(UUID(patient.id))]
    assert len(jobs) == 5
