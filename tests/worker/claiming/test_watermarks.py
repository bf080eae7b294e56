"""Claims with watermarks: cheap, in order, and no job before a watermark waits for long.

A test decides how long a sweep took, and how much time passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from offload import JobState
from offload.lifecycle import released
from offload.models import Job
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimRequest
from offload.worker import cooldown
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.cooldown import MIN_COOLDOWN_SECONDS, SLOW_SECONDS
from tests.jobs import NO_CLAIM, register_worker
from tests.tasks import aadd, add, plain
from tests.worker.clock import Clock
from tests.worker.conftest import StartWorker

pytestmark = pytest.mark.django_db
needs_watermarks = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite keeps no dead entries, so it needs no watermarks"
)
SLOW = 2 * SLOW_SECONDS
ALL = 1000


class Claimer:
    """A worker that serves these queues; its claims take as long as the test says."""

    def __init__(self, *queues: str, excluded: Iterable[str] = ()) -> None:
        self.clock = Clock()
        self.store = get_store("default")
        self.id = register_worker()
        self.queues = queues or ("*",)
        served = ServedQueues("default", frozenset(queues), frozenset(excluded))
        self.watermarks = Watermarks(self.store, served, clock=self.clock)
        self.sweeps = 0

    def claim(
        self, count: int = ALL, *, took: float = 0.0, async_slots: int = 0
    ) -> list[ClaimedJob]:
        request = self.watermarks.narrow(ClaimRequest("default", self.queues, count, async_slots))
        if not request.watermarks:
            self.sweeps += 1
        result = self.store.exchange(self.id, [], request)
        self.watermarks.learn(request, replace(result, claim_seconds=took))
        return result.claimed

    def wait_for_sweep(self) -> None:
        """Let time pass until the next claim is a sweep."""
        self.clock.now += self.watermarks.seconds_to_sweep


@pytest.fixture
def claimer() -> Claimer:
    return Claimer("default", "mail")


def numbers(claimed: list[ClaimedJob]) -> list[str]:
    """Return the first argument of each job."""
    return [str(json.loads(job.arguments)[0][0]) for job in claimed]


def enqueue(*numbers: int, task: Any = add) -> None:
    for number in numbers:
        task.enqueue(number)


def ready() -> int:
    return Job.objects.filter(state=JobState.READY).count()


def test_after_a_quick_sweep_the_next_claim_is_a_sweep_too(claimer: Claimer) -> None:
    enqueue(1, 2, 3)
    claimer.claim(1, took=SLOW_SECONDS)
    enqueue(4, task=add.using(priority=9))

    assert numbers(claimer.claim(2, took=SLOW_SECONDS)) == ["4", "2"]
    assert claimer.sweeps == 2
    assert not claimer.watermarks.needs_sweep


@needs_watermarks
def test_after_a_slow_sweep_claims_start_where_the_last_one_stopped(claimer: Claimer) -> None:
    enqueue(*range(6))
    claimer.claim(2, took=SLOW)

    assert numbers(claimer.claim(2)) == ["2", "3"]
    assert numbers(claimer.claim(2)) == ["4", "5"]
    assert claimer.sweeps == 1
    assert not claimer.watermarks.needs_sweep


@needs_watermarks
def test_a_sweep_follows_when_ten_times_its_time_has_passed(claimer: Claimer) -> None:
    enqueue(*range(6))
    claimer.claim(1, took=7)
    claimer.clock.now += 69
    claimer.claim(1)
    assert claimer.sweeps == 1
    claimer.clock.now += 1
    claimer.claim(1, took=0)
    claimer.claim(1)
    assert claimer.sweeps == 3  # the one before was quick


@needs_watermarks
def test_jobs_enqueued_at_the_same_time_are_claimed_once_each(claimer: Claimer) -> None:
    add.enqueue_many([((number,), {}) for number in range(10)])
    taken = claimer.claim(3, took=SLOW)
    while more := claimer.claim(3):
        taken += more
    assert len({job.id for job in taken}) == 10
    assert claimer.sweeps == 1


@needs_watermarks
def test_claims_with_watermarks_take_known_priorities_in_their_order(claimer: Claimer) -> None:
    enqueue(0, task=add.using(priority=7))
    enqueue(*range(1, 5))
    claimer.claim(2, took=SLOW)
    enqueue(10, 11, task=add.using(priority=7))

    assert numbers(claimer.claim(3)) == ["10", "11", "2"]
    assert claimer.sweeps == 1


@needs_watermarks
@pytest.mark.parametrize(
    "task",
    [add.using(priority=9), add.using(priority=-9), plain],
    ids=["more urgent", "less urgent", "another queue"],
)
def test_jobs_of_a_new_priority_or_queue_are_taken_by_the_next_sweep(
    claimer: Claimer, task: Any
) -> None:
    enqueue(*range(5))
    claimer.claim(1, took=SLOW)
    enqueue(7, task=task)

    assert numbers(claimer.claim(3)) == ["1", "2", "3"]
    assert numbers(claimer.claim(3)) == ["4"]
    assert claimer.watermarks.needs_sweep
    assert claimer.watermarks.seconds_to_sweep == MIN_COOLDOWN_SECONDS
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(3, took=SLOW)) == ["7"]
    assert not claimer.watermarks.needs_sweep
    assert not ready()


@needs_watermarks
def test_a_needed_sweep_must_be_for_jobs_of_the_same_kind(claimer: Claimer) -> None:
    enqueue(0, 1)
    enqueue(7, task=aadd)
    claimer.claim(1, took=SLOW)
    assert numbers(claimer.claim(1, async_slots=1)) == ["1"]
    assert claimer.watermarks.needs_sweep
    claimer.wait_for_sweep()
    assert claimer.claim(1, took=SLOW) == []
    assert claimer.watermarks.needs_sweep
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(1, took=SLOW, async_slots=1)) == ["7"]
    assert not claimer.watermarks.needs_sweep


@needs_watermarks
def test_an_urgent_job_is_taken_first_by_the_next_sweep(claimer: Claimer) -> None:
    enqueue(*range(5))
    claimer.claim(1, took=SLOW)
    enqueue(7, task=add.using(priority=9))
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(3, took=SLOW)) == ["7", "1", "2"]
    assert numbers(claimer.claim(3)) == ["3", "4"]


@needs_watermarks
def test_an_older_job_that_appears_late_is_taken_by_the_next_sweep(claimer: Claimer) -> None:
    enqueue(*range(4))
    claimer.claim(2, took=SLOW)
    enqueue(7)
    late = Job.objects.get(arguments__startswith="[[7")
    assert late.run_after
    Job.objects.filter(pk=late.pk).update(run_after=late.run_after - timedelta(hours=1))

    assert numbers(claimer.claim(1)) == ["2"]
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(1, took=SLOW)) == ["7"]
    assert numbers(claimer.claim()) == ["3"]  # the watermark moved back to the older job


@needs_watermarks
def test_jobs_that_another_worker_releases_are_found(claimer: Claimer) -> None:
    other = Claimer("default")
    enqueue(*range(6))
    back = other.claim(2)
    assert numbers(claimer.claim(2, took=SLOW)) == ["2", "3"]
    other.store.exchange(other.id, [(job, released()) for job in back], NO_CLAIM)

    assert numbers(claimer.claim()) == ["4", "5"]
    assert claimer.watermarks.needs_sweep
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(took=SLOW)) == ["0", "1"]


@needs_watermarks
def test_unnamed_queues_are_those_with_watermarks_until_the_next_sweep() -> None:
    claimer = Claimer(excluded=["slow"])
    enqueue(0, 1, 2)
    claimer.claim(1, took=SLOW)
    enqueue(3, task=plain)
    enqueue(4, task=add.using(queue_name="slow"))

    assert numbers(claimer.claim()) == ["1", "2"]
    claimer.wait_for_sweep()
    assert numbers(claimer.claim(took=SLOW)) == ["3"]
    claimer.wait_for_sweep()
    assert claimer.claim() == []
    assert ready() == 1


@needs_watermarks
def test_a_poll_does_not_query_queue_names_while_watermarks_are_used(claimer: Claimer) -> None:
    enqueue(0, 1)
    add.using(run_after=timedelta(seconds=30)).enqueue(2)
    claimer.claim(1, took=SLOW)

    result, leaves_out_queues = claimer.watermarks.poll()
    assert leaves_out_queues
    assert result.scheduled_in is not None
    assert 20 < result.scheduled_in <= 30
    claimer.wait_for_sweep()
    result, leaves_out_queues = claimer.watermarks.poll()
    assert not leaves_out_queues
    assert result.queues == ["default"]
    assert result.scheduled_in is not None


@needs_watermarks
@pytest.mark.parametrize("queues", [("default", "mail"), ()], ids=["named", "not named"])
def test_no_sweep_is_needed_if_no_job_is_ready(queues: tuple[str, ...]) -> None:
    claimer = Claimer(*queues)
    enqueue(0, 1)
    claimer.claim(1, took=SLOW)
    claimer.claim()
    assert claimer.watermarks.needs_sweep
    claimer.wait_for_sweep()
    if queues:
        claimer.watermarks.poll()
    else:
        claimer.claim()
    assert not claimer.watermarks.needs_sweep


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others have watermarks")
def test_sqlite_has_no_watermarks(claimer: Claimer) -> None:
    enqueue(0, 1)
    claimer.claim(1, took=3600)
    claimer.claim(1, took=3600)
    assert claimer.sweeps == 2


def test_a_drain_with_watermarks_leaves_no_job(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sweep counts as slow, and half of the jobs are before the first claim's watermarks."""
    monkeypatch.setattr(cooldown, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(cooldown, "MIN_COOLDOWN_SECONDS", 0.2)
    for priority in (-3, 0, 5, -50):
        add.using(priority=priority).enqueue_many([((n,), {}) for n in range(100)])
    aadd.enqueue_many([((n,), {}) for n in range(50)])
    plain.enqueue_many([((n,), {}) for n in range(50)])

    start_worker(0, threads=2, drain=True).join()

    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == 500
    assert not ready()


@needs_watermarks
def test_a_cancel_request_is_found_among_known_jobs_by_their_ids(claimer: Claimer) -> None:
    enqueue(1, 2, 3)
    first, second, _ = claimer.claim()
    claimer.store.cancel(UUID(first.id))
    known = {first.key, second.key, (second.id, 2)}
    assert claimer.store.held_jobs(UUID(claimer.id), among=known) == {
        first.key: True,
        second.key: False,
    }
