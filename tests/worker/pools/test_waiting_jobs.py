"""The worker takes back the jobs that a child does not start, and only those."""

from __future__ import annotations

import pytest

from offload.worker.pools.capacity import Capacity
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.waiting_jobs import START_TIMEOUT, VISIBLE_AFTER, WaitingJobs
from offload.worker.runners.slot_table import SlotTable
from tests.tasks import aadd, add
from tests.worker.job_runs import claimed

SLOTS = 2
LATER = START_TIMEOUT + 0.1


@pytest.fixture
def slots() -> SlotTable:
    return SlotTable(SLOTS + 1)


@pytest.fixture
def capacity() -> Capacity:
    return Capacity(SLOTS, 1, RunTimes())


@pytest.fixture
def waiting(slots: SlotTable, capacity: Capacity) -> WaitingJobs:
    return WaitingJobs(slots, capacity, is_async=False, process="It")


def take(capacity: Capacity, count: int) -> list[int]:
    first = capacity.take([claimed(add) for _ in range(count)])
    return list(range(first, first + count))


def test_a_child_that_starts_nothing_stalls_from_the_first_look(waiting, capacity):
    """A worker that was held up itself cannot tell how long the jobs have waited before."""
    assert waiting.seconds_stalled(0.0) == 0.0
    take(capacity, 1)

    assert waiting.seconds_stalled(100.0) == 0.0
    assert waiting.seconds_stalled(100.0 + LATER) == pytest.approx(LATER)


def test_a_child_that_starts_jobs_slowly_does_not_stall(waiting, capacity, slots):
    take(capacity, 10)
    for number in range(1, 5):
        assert waiting.seconds_stalled(number * LATER) == 0.0
        slots.start(0, number, 1.0, is_async=False)
        slots.finish(0)


def test_jobs_behind_running_ones_do_not_stall(waiting, capacity, slots):
    take(capacity, 10)
    waiting.seconds_stalled(0.0)
    for slot in range(SLOTS):
        slots.start(slot, slot + 1, 1.0, is_async=False)

    assert waiting.seconds_stalled(LATER) == 0.0


def test_jobs_of_the_other_kind_do_not_count(waiting, capacity):
    capacity.take([claimed(aadd)])
    waiting.seconds_stalled(0.0)

    assert waiting.seconds_stalled(LATER) == 0.0
    waiting.take_back(LATER)
    assert waiting.taken_back(LATER + VISIBLE_AFTER) == []


def test_jobs_that_had_not_started_are_taken_back_once(waiting, capacity, slots):
    first, second, third = take(capacity, 3)
    slots.start(0, first, 1.0, is_async=False)
    waiting.take_back(0.0)
    assert waiting.taken_back(0.0) == []

    assert waiting.taken_back(VISIBLE_AFTER) == [second, third]
    assert waiting.taken_back(2 * VISIBLE_AFTER) == []
    assert not slots.start(1, second, 1.0, is_async=False)


def test_a_job_whose_start_becomes_visible_late_is_not_taken_back(waiting, capacity, slots):
    first, second = take(capacity, 2)
    waiting.take_back(0.0)
    slots.start(0, first, 1.0, is_async=False)

    assert waiting.taken_back(VISIBLE_AFTER) == [second]


def test_a_child_is_suspended_until_it_has_skipped_the_jobs(waiting, capacity, slots):
    first, second = take(capacity, 2)
    waiting.take_back(0.0)
    assert waiting.is_suspended
    slots.start(0, first, 1.0, is_async=False)
    assert waiting.is_suspended
    slots.start(0, second, 1.0, is_async=False)

    assert not waiting.is_suspended
    (third,) = take(capacity, 1)
    assert slots.start(0, third, 1.0, is_async=False)


def test_jobs_of_an_earlier_runner_do_not_wait_for_a_new_one(capacity):
    take(capacity, 3)
    waiting = WaitingJobs(SlotTable(SLOTS), capacity, is_async=False, process="It")
    waiting.seconds_stalled(0.0)

    assert waiting.seconds_stalled(LATER) == 0.0
    waiting.take_back(LATER)
    assert not waiting.is_suspended
