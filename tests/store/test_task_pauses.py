"""Claims leave the jobs of paused tasks alone, and put them aside and back."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from offload import JobState, queues
from offload.lifecycle import succeeded
from offload.models import Job, LimitKey, LimitNotice, Queue, TaskPause
from offload.policies.queue_limits import QueueLimits
from offload.store import parked_jobs
from offload.store.base import Store
from offload.store.limit_records import LimitedRequest
from offload.store.pause_rounds import MAX_ROUNDS
from offload.store.records import ClaimRequest, ExchangeResult
from offload.timestamps import now_microseconds
from tests import limited_tasks, unique_tasks
from tests.jobs import NO_CLAIM
from tests.tasks import aadd, add, anything

pytestmark = pytest.mark.django_db

BLOCK = 20
"""Jobs that are parked at once, in most of these tests."""


@pytest.fixture(autouse=True)
def _blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked_jobs, "MAX_ROWS_PER_STATEMENT", BLOCK)


def exchange(
    store: Store, worker: str, count: int = 10, limited: int = 0, finished: Any = (), **more: Any
) -> ExchangeResult:
    """Claim some jobs of each kind, as a worker that knows the pauses."""
    paused = store.rules("default").ids_of_paused
    request = NO_CLAIM
    if count:
        request = ClaimRequest(
            "default", ("default", "mail"), count, count, paused_tasks=paused, **more
        )
    of_limits = None
    if limited:
        of_limits = LimitedRequest("default", (), (), limited, limited, paused_tasks=paused)
    return store.exchange(worker, finished, request, limited=of_limits)


def ids(result: ExchangeResult) -> list[str]:
    return [str(Job.objects.get(pk=job.id).pk) for job in result.claimed]


def states(*results: Any) -> list[JobState]:
    return [JobState(Job.objects.get(pk=result.id).state) for result in results]


def slots() -> Counter[str | None]:
    return Counter(Job.objects.values_list("limit_slot", flat=True))


def parked() -> str:
    return parked_jobs.parked_slot(TaskPause.objects.get().pk)


# --- claiming -----------------------------------------------------------------------------------


def test_a_claim_takes_the_jobs_behind_those_of_a_paused_task(store: Store, worker: str) -> None:
    paused = [add.using(priority=5).enqueue(1), add.enqueue(1)]
    others = [anything.enqueue(), aadd.enqueue(1)]
    add.pause()

    result = exchange(store, worker)

    assert sorted(ids(result)) == sorted(job.id for job in others)
    assert (result.has_parked, result.is_partial) == (True, False)
    assert states(*paused) == [JobState.LIMITED] * 2
    assert slots()[parked()] == 2


def test_a_job_that_was_put_aside_looks_as_if_it_had_never_been_claimed(
    store: Store, worker: str
) -> None:
    add.enqueue(1)
    before = Job.objects.values().get()
    add.pause()

    exchange(store, worker)
    add.resume()
    while store.release_parked():
        pass

    assert Job.objects.values().get() == before | {"version": 2}


def test_while_nothing_is_paused_the_statements_are_those_of_always(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("offload.store.pause_rounds.transaction")  # no savepoint
    add.enqueue(1)
    assert len(exchange(store, worker).claimed) == 1

    aadd.pause()
    with pytest.raises(NameError):
        exchange(store, worker)


def test_jobs_that_were_put_aside_are_not_read_again(store: Store, worker: str) -> None:
    add.enqueue_many([((1,), {})] * 15)
    add.pause()
    first, second = exchange(store, worker), exchange(store, worker)

    assert (first.has_parked, second.has_parked) == (True, False)
    assert Job.objects.filter(fence=0).count() == 15


def test_a_long_row_of_paused_jobs_is_put_aside_over_several_exchanges(
    store: Store, worker: str
) -> None:
    urgent = anything.using(priority=50).enqueue()
    add.enqueue_many([((1,), {})] * (BLOCK * (2 * MAX_ROUNDS + 1)))
    last = anything.using(priority=-5).enqueue()
    add.pause()

    results = [exchange(store, worker) for _ in range(3)]

    assert [ids(result) for result in results] == [[urgent.id], [], [last.id]]
    assert [result.is_partial for result in results] == [True, True, False]


def test_finished_jobs_are_written_although_the_claim_is_undone(store: Store, worker: str) -> None:
    anything.enqueue()
    (job,) = exchange(store, worker).claimed
    add.enqueue_many([((1,), {})] * (BLOCK * (MAX_ROUNDS + 3)))
    add.pause()

    result = exchange(store, worker, finished=[(job, succeeded("null"))])

    assert (result.refused, result.claimed, result.is_partial) == ([], [], True)
    assert Job.objects.get(pk=job.id).state == JobState.SUCCESSFUL


def test_a_pause_leaves_the_jobs_of_other_backends(store: Store, worker: str) -> None:
    other = add.enqueue(1)
    Job.objects.filter(pk=other.id).update(backend="other")
    mine = add.enqueue(1)
    add.pause()

    exchange(store, worker)

    assert states(other, mine) == [JobState.READY, JobState.LIMITED]


def test_a_stale_worker_that_knows_no_pause_claims(store: Store, worker: str) -> None:
    """The exchange goes by what the worker has read, so that it reads the pauses once a second."""
    add.enqueue(1)
    add.pause()

    assert len(store.exchange(worker, [], ClaimRequest("default", ("default",), 1)).claimed) == 1


# --- limits -------------------------------------------------------------------------------------


def test_a_paused_job_with_a_limit_keeps_its_key_and_uses_nothing_of_the_limit(
    store: Store, worker: str
) -> None:
    paused = limited_tasks.rated.enqueue_many([((), {})] * 5)
    limited_tasks.rated.pause()

    result = exchange(store, worker, count=0, limited=10)

    assert result.claimed == []
    assert states(*paused) == [JobState.LIMITED] * 5
    assert set(Job.objects.values_list("limit_slot", flat=True)) == {parked()}
    soon = now_microseconds() + 10_000_000  # a start would use up 20 seconds
    assert not LimitKey.objects.filter(free_at__gt=soon).exists()
    limited_tasks.rated.resume()
    assert store.release_parked() == 5
    assert LimitNotice.objects.count() == 1
    claimed = exchange(store, worker, count=0, limited=10).claimed
    assert [str(job.limit_key) for job in claimed] == [str(claimed[0].limit_key)] * 3


def test_other_tasks_of_a_shared_limit_take_the_turn_of_a_paused_one(
    store: Store, worker: str
) -> None:
    paused = limited_tasks.shared_mail.using(priority=5).enqueue_many([(("a",), {})] * 3)
    other = limited_tasks.shared_slow.enqueue("a")
    limited_tasks.shared_mail.pause()

    assert ids(exchange(store, worker, count=0, limited=10)) == [other.id]
    assert states(*paused) == [JobState.LIMITED] * 3


def test_each_key_of_a_paused_task_is_put_aside(store: Store, worker: str) -> None:
    limited_tasks.call_api.enqueue_many([((str(number % 7),), {}) for number in range(30)])
    limited_tasks.call_api.pause()

    while exchange(store, worker, count=5, limited=5).has_parked:
        pass

    assert slots() == {parked(): 30}
    limited_tasks.call_api.resume()
    assert [store.release_parked() for _ in range(3)] == [BLOCK, 30 - BLOCK, 0]
    assert not Job.objects.exclude(limit_slot__startswith="w:call_api").filter(
        limit_slot__startswith="p:"
    )


def test_a_paused_job_uses_nothing_of_the_rate_of_its_queue(store: Store, worker: str) -> None:
    queues.limit("default", rate="1/h")
    paused, other = add.using(priority=5).enqueue(1), anything.enqueue()
    add.pause()
    store.add_queues("default", ["default"])

    result = exchange(store, worker, limits={"default": QueueLimits()}, free=(10, 10))

    assert ids(result) == [other.id]
    assert Queue.objects.get().free_at > 0
    assert states(paused) == [JobState.LIMITED]


# --- unique jobs --------------------------------------------------------------------------------


def test_a_call_that_replaces_a_paused_job_lets_it_wait_anew(store: Store, worker: str) -> None:
    job = unique_tasks.replaced.enqueue("a", "old")
    unique_tasks.replaced.pause()
    exchange(store, worker)

    again = unique_tasks.replaced.enqueue("a", "new")
    assert (again.id, states(job)) == (job.id, [JobState.READY])
    exchange(store, worker)
    assert states(job) == [JobState.LIMITED]
    assert "new" in Job.objects.get().arguments


def test_a_unique_job_that_was_put_aside_holds_its_key(store: Store, worker: str) -> None:
    job = unique_tasks.until_started.enqueue("a")
    unique_tasks.until_started.pause()
    exchange(store, worker)

    again = unique_tasks.until_started.enqueue("a")

    assert (again.id, again.is_new) == (job.id, False)


# --- putting back -------------------------------------------------------------------------------


def test_jobs_are_put_back_in_their_order_once_the_pause_has_ended(
    store: Store, worker: str
) -> None:
    jobs = [add.using(priority=priority).enqueue(1) for priority in (1, 3, 2)]
    add.pause(until=timedelta(hours=1))
    exchange(store, worker)
    assert store.release_parked() == 0
    TaskPause.objects.update(paused_until=timezone.now() - timedelta(microseconds=1))

    assert store.release_parked() == 3
    claimed = ids(exchange(store, worker))
    assert claimed == [jobs[1].id, jobs[2].id, jobs[0].id]


def test_jobs_of_one_task_are_put_back_while_another_is_paused(store: Store, worker: str) -> None:
    first, second = add.enqueue(1), anything.enqueue()
    add.pause()
    anything.pause()
    exchange(store, worker)

    anything.resume()

    assert [store.release_parked() for _ in range(2)] == [1, 0]
    assert states(first, second) == [JobState.LIMITED, JobState.READY]


def test_jobs_are_put_back_although_the_row_of_the_pause_is_gone(store: Store, worker: str) -> None:
    job = add.enqueue(1)
    add.pause()
    exchange(store, worker)
    TaskPause.objects.all().delete()

    assert store.release_parked() == 1
    assert states(job) == [JobState.READY]


def test_a_poll_says_that_jobs_were_put_aside(store: Store, worker: str) -> None:
    add.enqueue(1)
    assert not store.poll("default").has_parked
    add.pause()
    assert not store.poll("default").has_parked
    exchange(store, worker)

    found = store.poll("default")
    assert (found.has_parked, found.queues) == (True, [])
    assert store.poll("other").has_parked


def test_a_job_that_was_put_aside_can_be_cancelled_and_retried(store: Store, worker: str) -> None:
    job = add.enqueue(1)
    add.pause()
    exchange(store, worker)

    job.cancel()
    assert states(job) == [JobState.CANCELLED]
    job.retry()
    assert states(job) == [JobState.READY]
    exchange(store, worker)
    assert states(job) == [JobState.LIMITED]
