"""A process takes as many jobs as it can run soon, and no more."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from offload.lifecycle import released, succeeded
from offload.store.records import ClaimedJob
from offload.worker.pools.capacity import MAX_SYNC_LINGER, STUCK_TIMEOUT, Capacity
from offload.worker.pools.run_times import MAX_SECONDS_TO_START, MAX_WAITING_JOBS, RunTimes
from tests.tasks import aadd, add
from tests.worker.clock import Clock
from tests.worker.job_runs import claimed

SLOTS = 4


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run_times() -> RunTimes:
    return RunTimes()


@pytest.fixture
def capacity(run_times: RunTimes, clock: Clock) -> Capacity:
    return Capacity(SLOTS, 100, run_times, clock)


def make_jobs(count: int) -> list[ClaimedJob]:
    return [claimed(add) for _ in range(count)]


def take_async(capacity: Capacity, count: int) -> int:
    """Take async jobs; return the number of the first."""
    return capacity.take([claimed(aadd) for _ in range(count)])


def finish_steadily(capacity: Capacity, clock: Clock, numbers: Iterable[int]) -> None:
    """Finish one job in each millisecond, and take another one instead."""
    for number in numbers:
        clock.now += 0.001
        capacity.settle([(number, succeeded("1"), 0.1)])
        take_async(capacity, 1)


def record_short_jobs(run_times: RunTimes) -> None:
    run_times.record("tests.tasks.add", 0.00001, 1000)


def test_a_process_takes_one_job_of_an_unknown_task_for_each_slot(capacity):
    assert capacity.free(is_async=False) == SLOTS

    capacity.take(make_jobs(SLOTS))

    assert capacity.free(is_async=False) == 0
    assert not capacity.should_refill(is_async=False)
    assert not capacity.is_backed_up


def test_more_jobs_are_claimed_as_soon_as_no_job_waits_and_one_may(capacity, run_times):
    run_times.record("tests.tasks.add", 0.02, 1000)  # two may wait for each slot
    capacity.take(make_jobs(SLOTS))
    assert capacity.should_refill(is_async=False)

    capacity.take(make_jobs(SLOTS))
    assert not capacity.should_refill(is_async=False)


def test_a_process_takes_many_short_jobs_ahead(capacity, run_times):
    record_short_jobs(run_times)

    assert capacity.free(is_async=False) == MAX_WAITING_JOBS


def test_more_jobs_are_claimed_when_half_of_the_waiting_ones_have_finished(capacity, run_times):
    record_short_jobs(run_times)
    first = capacity.take(make_jobs(MAX_WAITING_JOBS))
    rows = [(first + index, succeeded("1"), 0.00001) for index in range(MAX_WAITING_JOBS)]
    half = (MAX_WAITING_JOBS - SLOTS) // 2

    capacity.settle(rows[: half - 1])
    assert capacity.free(is_async=False) > 0
    assert not capacity.should_refill(is_async=False)
    assert capacity.is_backed_up

    capacity.settle(rows[half - 1 : half])
    assert capacity.should_refill(is_async=False)


def test_async_jobs_wait_for_a_slot_if_so_many_finish_that_they_start_soon(
    capacity, run_times, clock
):
    run_times.record("tests.tasks.aadd", 0.1, 1000)
    first = take_async(capacity, 100)
    finish_steadily(capacity, clock, range(first, first + 1000))
    may_wait = capacity.free(is_async=True)
    assert may_wait == pytest.approx(MAX_SECONDS_TO_START * 1000, abs=5)
    assert capacity.should_refill(is_async=True)

    first = take_async(capacity, may_wait)
    assert not capacity.should_refill(is_async=True)
    assert capacity.is_backed_up
    assert capacity.linger == pytest.approx(MAX_SECONDS_TO_START / 2, rel=0.2)


def test_no_async_job_waits_while_none_of_the_others_finishes(capacity, run_times, clock):
    run_times.record("tests.tasks.aadd", 0.1, 1000)
    first = take_async(capacity, 100)
    assert capacity.free(is_async=True) == 0

    finish_steadily(capacity, clock, range(first, first + 1000))
    clock.now += 1.0
    assert capacity.free(is_async=True) == 0


def test_no_job_waits_for_one_of_few_slots_that_run_longer_jobs(capacity, run_times):
    run_times.record("tests.tasks.add", 0.1, 1000)

    capacity.take(make_jobs(SLOTS))

    assert capacity.free(is_async=False) == 0


def test_outcomes_wait_for_others_half_as_long_as_jobs_wait_for_a_slot(capacity, run_times):
    run_times.record("tests.tasks.add", 0.004, 1000)
    capacity.take(make_jobs(SLOTS))
    assert capacity.linger == 0

    capacity.take(make_jobs(2 * SLOTS))
    assert capacity.linger == pytest.approx(0.004)

    capacity.take(make_jobs(10 * SLOTS))
    assert capacity.linger == MAX_SYNC_LINGER


def test_more_jobs_are_claimed_as_soon_as_a_slot_is_free(capacity):
    first = capacity.take(make_jobs(SLOTS))

    capacity.settle([(first, succeeded("1"), 5.0)])

    assert capacity.free(is_async=False) == 1
    assert capacity.should_refill(is_async=False)


def test_each_kind_has_its_own_slots(capacity):
    capacity.take(make_jobs(SLOTS))

    assert capacity.free(is_async=True) == 100
    capacity.take([claimed(aadd)])
    assert capacity.free(is_async=True) == 99


def test_jobs_are_numbered_consecutively(capacity):
    jobs = make_jobs(5)

    assert capacity.take(jobs[:3]) == 1
    assert capacity.take(jobs[3:]) == 4
    assert capacity.held == dict(enumerate(jobs, 1))


def test_a_finished_job_is_returned_once(capacity):
    (job,) = make_jobs(1)
    number = capacity.take([job])
    row = (number, tuple(succeeded("1")), 0.1)

    assert capacity.settle([row, row]) == [(job, succeeded("1"))]
    assert not capacity.held


def test_no_job_waits_behind_a_long_one_until_one_has_finished(capacity, run_times, clock):
    record_short_jobs(run_times)
    jobs = make_jobs(SLOTS + 10)
    first = capacity.take(jobs)
    running = [(first + slot, 0.0) for slot in range(SLOTS)]
    clock.now += STUCK_TIMEOUT + 0.1

    assert capacity.detect_stuck(running)
    capacity.settle((first + index, released(), None) for index in range(SLOTS, len(jobs)))
    assert capacity.free(is_async=False) == 0

    capacity.settle([(first, succeeded("1"), 0.00001)])
    assert capacity.free(is_async=False) >= 1


@pytest.mark.parametrize("running", [0, 1, SLOTS], ids=["none", "one", "all"])
def test_jobs_do_not_wait_behind_long_ones_if_the_worker_itself_was_held_up(
    capacity, run_times, clock, running
):
    """For example in an exchange: jobs finished whose reports it has not read."""
    record_short_jobs(run_times)
    first = capacity.take(make_jobs(SLOTS + 10))
    clock.now += 10 * STUCK_TIMEOUT

    assert not capacity.detect_stuck([(first + slot, clock.now - 0.001) for slot in range(running)])
    assert capacity.free(is_async=False) > 0
    assert run_times.estimate("tests.tasks.add") < 0.001


def test_a_long_job_of_one_kind_does_not_hold_up_the_other(capacity, run_times, clock):
    record_short_jobs(run_times)
    first = capacity.take([claimed(aadd), *make_jobs(SLOTS + 10)])
    started_at = clock.now
    clock.now += 10 * STUCK_TIMEOUT

    assert not capacity.detect_stuck([(first, started_at), (first + 1, clock.now)])


def test_finished_jobs_leave_nothing_behind(capacity):
    first = capacity.take(make_jobs(2))

    capacity.settle((first + index, succeeded("1"), 0.1) for index in range(2))

    assert not capacity.held
    assert not capacity._sync.tasks
