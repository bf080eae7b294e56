"""Limits: how many jobs of a key the store lets start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from offload.lifecycle import JobState, released, succeeded
from offload.models import Job, LimitKey, LimitNotice
from offload.store import get_store
from offload.store.base import Store
from offload.store.records import ClaimedJob, FinishedJob
from tests import limited_tasks as tasks
from tests.jobs import NO_CLAIM
from tests.store.limit_claims import by_key, claim

pytestmark = pytest.mark.django_db


def test_no_more_jobs_of_a_key_start_than_its_limit(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "aaaaabbc"])

    first = claim(store, worker)

    assert by_key(first) == {"a": 2, "b": 2, "c": 1}
    assert claim(store, worker) == []
    done = next(job for job in first if str(job.limit_key).endswith(":a"))
    assert by_key(claim(store, worker, finished=((done, succeeded("null")),))) == {"a": 1}


def test_a_total_limits_all_keys_together(store: Store, worker: str) -> None:
    tasks.with_total.enqueue_many([((customer,), {}) for customer in "aaabbbcccddd"])

    first = claim(store, worker)

    assert len(first) == 5
    assert max(by_key(first).values()) <= 2
    done = first[0]
    assert len(claim(store, worker, finished=((done, succeeded("null")),))) == 1


def test_a_rate_lets_its_burst_start(store: Store, worker: str) -> None:
    tasks.rated.enqueue_many([((), {})] * 10)

    assert len(claim(store, worker)) == 3
    assert claim(store, worker) == []


def test_keys_take_turns(store: Store, worker: str) -> None:
    tasks.fair.enqueue_many([((customer,), {}) for customer in "a" * 20 + "b" * 3 + "c"])

    turns = [by_key(claim(store, worker, slots=1)) for _ in range(4)]

    assert sum(turns, Counter()) == {"a": 2, "b": 1, "c": 1}


def starts(store: Store, worker: str, *slots: int) -> list[str]:
    """Return the keys of the jobs that start in claims for these numbers of slots."""
    claimed = [job for free in slots for job in claim(store, worker, slots=free)]
    return [str(job.limit_key).partition(":")[2] for job in claimed]


def test_a_turn_has_as_many_jobs_as_its_key_weighs(store: Store, worker: str) -> None:
    tasks.weighted.enqueue_many([((customer,), {}) for customer in ["aaa", "b"] * 20])

    for slots in ([1] * 4, [1] * 4, [2, 2], [4]):
        assert Counter(starts(store, worker, *slots)) == {"aaa": 3, "b": 1}


def test_many_keys_get_turns_by_their_weights_however_many_slots_are_free(
    store: Store, worker: str
) -> None:
    customers = [f"{'x' * (number % 4)}{number:02}" for number in range(30)]
    tasks.weighted.enqueue_many([((customer,), {}) for customer in customers * 12])
    one_turn_each = sum(map(len, customers))
    slots = [7] * (2 * one_turn_each // 7)

    started = Counter(starts(store, worker, *slots, 2 * one_turn_each - sum(slots)))

    assert started == {customer: 2 * len(customer) for customer in customers}


def test_a_weight_of_the_task_counts_beside_keys_of_other_tasks(store: Store, worker: str) -> None:
    tasks.thrice.enqueue_many([(("a",), {})] * 9)
    tasks.fair.enqueue_many([(("b",), {})] * 9)

    assert Counter(starts(store, worker, *[1] * 8)) == {"a": 6, "b": 2}


def test_a_key_alone_gets_all_slots_whatever_it_weighs(store: Store, worker: str) -> None:
    tasks.weighted.enqueue_many([(("b",), {})] * 20)

    assert len(starts(store, worker, 15)) == 15


def test_a_key_whose_line_was_empty_begins_a_new_turn(store: Store, worker: str) -> None:
    tasks.weighted.enqueue_many([(("aaa",), {})] * 2)
    assert starts(store, worker, 1, 1, 1) == ["aaa"] * 2

    tasks.weighted.enqueue_many([((customer,), {}) for customer in ["aaa", "b"] * 4])

    assert Counter(starts(store, worker, *[1] * 4)) == {"aaa": 3, "b": 1}


def test_a_released_job_waits_in_its_line(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    (job,) = claim(store, worker)

    store.exchange(worker, [(job, released())], NO_CLAIM)

    row = Job.objects.get()
    assert (row.state, row.limit_slot) == (JobState.LIMITED, f"w:{row.limit_key}")
    assert len(claim(store, worker)) == 1


def test_a_finished_job_leaves_nothing(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    (job,) = claim(store, worker)

    claim(store, worker, finished=((job, succeeded("null")),))

    assert LimitNotice.objects.count() == 0
    assert not LimitKey.objects.exclude(open_at=None).exists()
    assert Job.objects.get().limit_slot is None


def test_cancelled_and_retried(store: Store, worker: str) -> None:
    result = tasks.single.enqueue()
    result.cancel()
    assert claim(store, worker) == []
    result.retry()
    assert len(claim(store, worker)) == 1


def test_a_running_job_with_a_limit_holds_a_slot(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    claim(store, worker)

    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.update(limit_slot=None)


# --- where the next claim starts ---------------------------------------------------------------


def drain_one_by_one(store: Store, worker: str, running: ClaimedJob) -> list[str]:
    """Run the jobs behind one that runs, one after the other; return the ids."""
    order = []
    while claimed := claim(store, worker, finished=((running, succeeded("null")),)):
        (running,) = claimed
        order.append(running.id)
    return order


def ids_of(results: Iterable[Any]) -> list[str]:
    return [get_store("default").key(UUID(result.id)) for result in results]


@pytest.mark.parametrize("priority", [0, -5, 5])
def test_a_job_that_is_due_before_the_others_is_not_passed_over(
    store: Store, worker: str, priority: int
) -> None:
    """The others come from a host whose clock is an hour ahead."""
    late = tasks.single.enqueue_many([((), {})] * 3)
    Job.objects.update(run_after=timezone.now() + timedelta(hours=1))
    finished: tuple[FinishedJob, ...] = ()
    for _ in range(2):
        (job,) = claim(store, worker, finished=finished)
        finished = ((job, succeeded("null")),)
    early = tasks.single.using(priority=priority).enqueue()

    (third,) = claim(store, worker, finished=finished)
    order = [third.id, *drain_one_by_one(store, worker, third)]

    expected = ids_of([early, late[2]])
    assert order == (expected if priority >= 0 else expected[::-1])


def test_a_scheduled_job_that_becomes_due_is_not_passed_over(store: Store, worker: str) -> None:
    early = tasks.single.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    Job.objects.update(run_after=timezone.now() - timedelta(hours=1))
    late = tasks.single.enqueue_many([((), {})] * 3)
    (first,) = claim(store, worker)
    (second,) = claim(store, worker, finished=((first, succeeded("null")),))
    store.promote()

    assert drain_one_by_one(store, worker, second) == ids_of([early, late[2]])


def test_a_job_that_comes_back_is_not_passed_over(store: Store, worker: str) -> None:
    results = tasks.single.enqueue_many([((), {})] * 3)
    (first,) = claim(store, worker)
    (second,) = claim(store, worker, finished=((first, succeeded("null")),))
    (again,) = claim(store, worker, finished=((second, released()),))
    assert again.id == second.id
    last = tasks.single.enqueue()  # its notice says when it is due, and that of the other does not
    store.finish([(again, released())])
    (again,) = claim(store, worker)

    assert [again.id, *drain_one_by_one(store, worker, again)] == ids_of([*results[1:], last])


def test_a_job_that_runs_for_long_is_counted_although_later_ones_have_finished(
    store: Store, worker: str
) -> None:
    tasks.call_api.enqueue_many([(("a",), {})] * 5)
    long, short = claim(store, worker)
    for _ in range(3):
        (short,) = claim(store, worker, finished=((short, succeeded("null")),))
        assert not claim(store, worker)

    assert Job.objects.filter(state=JobState.RUNNING).count() == 2
    assert (
        claim(store, worker, finished=((long, succeeded("null")), (short, succeeded("null")))) == []
    )
