"""Claims above floors: cheap, in order among what was seen, and nothing is left below for long.

How long a sweep took, and the time that passes, are said by the test.
"""

from __future__ import annotations

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
from offload.worker import cooldown as rest
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.cooldown import LEAST, SLOW
from tests.jobs import NO_ROOM, register
from tests.tasks import aadd, add, plain
from tests.worker.clock import Clock
from tests.worker.conftest import StartWorker

pytestmark = pytest.mark.django_db
needs_floors = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite keeps no dead entries, so it has no floors"
)
LONG = 2 * SLOW
ALL = 1000


class Engine:
    """One that serves these queues, and whose claims take as long as the test says."""

    def __init__(self, *queues: str, excluded: Iterable[str] = ()) -> None:
        self.clock = Clock()
        self.store = get_store("default")
        self.id = register()
        self.queues = queues or ("*",)
        self.floors = Watermarks(
            self.store, "default", queues, list(excluded), clock=self.clock.monotonic
        )
        self.sweeps = 0

    def claim(self, count: int = ALL, *, took: float = 0.0, slots: int = 0) -> list[ClaimedJob]:
        room = self.floors.aim(ClaimRequest("default", self.queues, count, slots))
        self.sweeps += not room.watermarks
        exchange = self.store.exchange(self.id, [], room)
        self.floors.learn(room, replace(exchange, claim_seconds=took))
        return exchange.claimed

    def rest(self) -> None:
        """Let the time pass until the next claim is a sweep."""
        self.clock.now += self.floors.sweeps_in


@pytest.fixture
def engine() -> Engine:
    return Engine("default", "mail")


def numbers(claimed: list[ClaimedJob]) -> list[str]:
    return [job.arguments[2:].partition(",")[0].partition("]")[0] for job in claimed]


def enqueue(*numbers: int, task: Any = add) -> None:
    for number in numbers:
        task.enqueue(number)


def ready() -> int:
    return Job.objects.filter(state=JobState.READY).count()


def test_after_a_quick_sweep_the_next_one_follows(engine: Engine) -> None:
    enqueue(1, 2, 3)
    engine.claim(1, took=SLOW)
    enqueue(4, task=add.using(priority=9))

    assert numbers(engine.claim(2, took=SLOW)) == ["4", "2"]
    assert engine.sweeps == 2
    assert not engine.floors.owes_sweep


@needs_floors
def test_after_a_slow_sweep_claims_begin_where_the_last_one_ended(engine: Engine) -> None:
    enqueue(*range(6))
    engine.claim(2, took=LONG)

    assert numbers(engine.claim(2)) == ["2", "3"]
    assert numbers(engine.claim(2)) == ["4", "5"]
    assert engine.sweeps == 1
    assert not engine.floors.owes_sweep


@needs_floors
def test_a_sweep_follows_when_ten_times_its_time_has_passed(engine: Engine) -> None:
    enqueue(*range(6))
    engine.claim(1, took=7)
    engine.clock.now += 69
    engine.claim(1)
    assert engine.sweeps == 1
    engine.clock.now += 1
    engine.claim(1, took=0)
    engine.claim(1)
    assert engine.sweeps == 3  # the one before was quick


@needs_floors
def test_jobs_of_one_moment_are_told_apart(engine: Engine) -> None:
    add.enqueue_many([((number,), {}) for number in range(10)])
    taken = engine.claim(3, took=LONG)
    while more := engine.claim(3):
        taken += more
    assert len({job.id for job in taken}) == 10
    assert engine.sweeps == 1


@needs_floors
def test_above_floors_each_priority_that_was_seen_has_its_turn_first(engine: Engine) -> None:
    enqueue(0, task=add.using(priority=7))
    enqueue(*range(1, 5))
    engine.claim(2, took=LONG)
    enqueue(10, 11, task=add.using(priority=7))

    assert numbers(engine.claim(3)) == ["10", "11", "2"]
    assert engine.sweeps == 1


@needs_floors
@pytest.mark.parametrize(
    "task",
    [add.using(priority=9), add.using(priority=-9), plain],
    ids=["more urgent", "less urgent", "another queue"],
)
def test_what_is_new_is_taken_by_the_next_sweep(engine: Engine, task: Any) -> None:
    enqueue(*range(5))
    engine.claim(1, took=LONG)
    enqueue(7, task=task)

    assert numbers(engine.claim(3)) == ["1", "2", "3"]
    assert numbers(engine.claim(3)) == ["4"]
    assert engine.floors.owes_sweep
    assert engine.floors.sweeps_in == LEAST
    engine.rest()
    assert numbers(engine.claim(3, took=LONG)) == ["7"]
    assert not engine.floors.owes_sweep
    assert not ready()


@needs_floors
def test_only_a_sweep_for_jobs_of_that_kind_pays_what_is_owed(engine: Engine) -> None:
    enqueue(0, 1)
    enqueue(7, task=aadd)
    engine.claim(1, took=LONG)
    assert numbers(engine.claim(1, slots=1)) == ["1"]
    assert engine.floors.owes_sweep
    engine.rest()
    assert engine.claim(1, took=LONG) == []
    assert engine.floors.owes_sweep
    engine.rest()
    assert numbers(engine.claim(1, took=LONG, slots=1)) == ["7"]
    assert not engine.floors.owes_sweep


@needs_floors
def test_an_urgent_job_is_taken_first_by_the_next_sweep(engine: Engine) -> None:
    enqueue(*range(5))
    engine.claim(1, took=LONG)
    enqueue(7, task=add.using(priority=9))
    engine.rest()
    assert numbers(engine.claim(3, took=LONG)) == ["7", "1", "2"]
    assert numbers(engine.claim(3)) == ["3", "4"]


@needs_floors
def test_an_older_job_that_is_seen_late_is_taken_by_the_next_sweep(engine: Engine) -> None:
    enqueue(*range(4))
    engine.claim(2, took=LONG)
    enqueue(7)
    late = Job.objects.get(arguments__startswith="[[7")
    assert late.run_after
    Job.objects.filter(pk=late.pk).update(run_after=late.run_after - timedelta(hours=1))

    assert numbers(engine.claim(1)) == ["2"]
    engine.rest()
    assert numbers(engine.claim(1, took=LONG)) == ["7"]
    assert numbers(engine.claim()) == ["3"]  # the floor went back with what was taken


@needs_floors
def test_what_another_engine_hands_back_is_found(engine: Engine) -> None:
    other = Engine("default")
    enqueue(*range(6))
    back = other.claim(2)
    assert numbers(engine.claim(2, took=LONG)) == ["2", "3"]
    other.store.exchange(other.id, [(job, released()) for job in back], NO_ROOM)

    assert numbers(engine.claim()) == ["4", "5"]
    assert engine.floors.owes_sweep
    engine.rest()
    assert numbers(engine.claim(took=LONG)) == ["0", "1"]


@needs_floors
def test_queues_that_are_not_named_are_those_with_floors_until_the_next_sweep() -> None:
    engine = Engine(excluded=["slow"])
    enqueue(0, 1, 2)
    engine.claim(1, took=LONG)
    enqueue(3, task=plain)
    enqueue(4, task=add.using(queue_name="slow"))

    assert numbers(engine.claim()) == ["1", "2"]
    engine.rest()
    assert numbers(engine.claim(took=LONG)) == ["3"]
    engine.rest()
    assert engine.claim() == []
    assert ready() == 1


@needs_floors
def test_a_glance_does_not_look_for_names_while_floors_are_used(engine: Engine) -> None:
    enqueue(0, 1)
    add.using(run_after=timedelta(seconds=30)).enqueue(2)
    engine.claim(1, took=LONG)

    queues, due = engine.floors.glance()
    assert queues is None
    assert due is not None
    assert 20 < due <= 30
    engine.rest()
    queues, due = engine.floors.glance()
    assert queues == ["default"]
    assert due is not None


@needs_floors
@pytest.mark.parametrize("queues", [("default", "mail"), ()], ids=["named", "not named"])
def test_there_is_nothing_to_sweep_for_if_no_job_is_ready(queues: tuple[str, ...]) -> None:
    engine = Engine(*queues)
    enqueue(0, 1)
    engine.claim(1, took=LONG)
    engine.claim()
    assert engine.floors.owes_sweep
    engine.rest()
    engine.floors.glance() if queues else engine.claim()
    assert not engine.floors.owes_sweep


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others have floors")
def test_sqlite_has_no_floors(engine: Engine) -> None:
    enqueue(0, 1)
    engine.claim(1, took=3600)
    engine.claim(1, took=3600)
    assert engine.sweeps == 2


def test_a_drain_above_floors_leaves_nothing(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sweep counts as slow, and every second job is below the floors of the first claim."""
    monkeypatch.setattr(rest, "SLOW", -1.0)
    monkeypatch.setattr(rest, "LEAST", 0.2)
    for priority in (-3, 0, 5, -50):
        add.using(priority=priority).enqueue_many([((n,), {}) for n in range(100)])
    aadd.enqueue_many([((n,), {}) for n in range(50)])
    plain.enqueue_many([((n,), {}) for n in range(50)])

    start_worker(0, threads=2, drain=True).join()

    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == 500
    assert not ready()


@needs_floors
def test_a_cancel_is_found_among_known_jobs_by_their_ids(engine: Engine) -> None:
    enqueue(1, 2, 3)
    first, second, _ = engine.claim()
    engine.store.cancel(UUID(first.id))
    known = {first.key, second.key, (second.id, 2)}
    assert engine.store.held_jobs(UUID(engine.id), among=known) == {
        first.key: True,
        second.key: False,
    }
