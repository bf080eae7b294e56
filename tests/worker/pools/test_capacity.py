"""An executor takes as much as it can run soon, and no more."""

from __future__ import annotations

import pytest

from offload.lifecycle import released, succeeded
from offload.store.records import ClaimedJob
from offload.uuid7 import new_id
from offload.worker.pools.capacity import STUCK_TIMEOUT, Capacity
from offload.worker.pools.run_times import MAX_WAITING_JOBS, RunTimes

PLACES = 4


@pytest.fixture
def run_times() -> RunTimes:
    return RunTimes()


@pytest.fixture
def capacity(run_times: RunTimes) -> Capacity:
    return Capacity(PLACES, 100, run_times)


def make_job(path: str = "tests.tasks.add", *, is_async: bool = False) -> ClaimedJob:
    now = 1_800_000_000_000_000
    return ClaimedJob(
        id=new_id().hex,
        fence=1,
        attempt=1,
        task_path=path,
        arguments="[[],{}]",
        is_async=is_async,
        backend="default",
        queue_name="default",
        priority=0,
        run_after=now,
        expires_at=None,
        enqueued_at=now,
        started_at=now,
        last_attempted_at=now,
        timeout=None,
        max_attempts=1,
        worker_losses=0,
        max_worker_losses=3,
        owner="",
        tenant="",
        request_id="",
        worker=new_id().hex,
    )


def make_jobs(count: int) -> list[ClaimedJob]:
    return [make_job() for _ in range(count)]


def is_short(run_times: RunTimes) -> None:
    run_times.learn("tests.tasks.add", 0.00001, 1000)


def test_of_unknown_tasks_it_takes_as_many_as_it_can_run(capacity):
    assert capacity.free(is_async=False) == PLACES

    capacity.take(make_jobs(PLACES))

    assert capacity.free(is_async=False) == 0
    assert not capacity.should_refill(is_async=False)
    assert not capacity.is_backed_up


def test_it_wants_more_as_soon_as_none_waits_and_one_may(capacity, run_times):
    run_times.learn("tests.tasks.add", 0.02, 1000)  # two may wait in each place
    capacity.take(make_jobs(PLACES))
    assert capacity.should_refill(is_async=False)

    capacity.take(make_jobs(PLACES))
    assert not capacity.should_refill(is_async=False)


def test_of_short_tasks_it_takes_many_ahead(capacity, run_times):
    is_short(run_times)

    assert capacity.free(is_async=False) == MAX_WAITING_JOBS


def test_it_wants_more_when_half_of_what_may_wait_is_gone(capacity, run_times):
    is_short(run_times)
    first = capacity.take(make_jobs(MAX_WAITING_JOBS))
    ended = [(first + index, succeeded("1"), 0.00001) for index in range(MAX_WAITING_JOBS)]
    half = MAX_WAITING_JOBS // 2

    capacity.settle(ended[: half - 1])
    assert capacity.free(is_async=False) > 0
    assert not capacity.should_refill(is_async=False)
    assert capacity.is_backed_up

    capacity.settle(ended[half - 1 : half])
    assert capacity.should_refill(is_async=False)


def test_it_wants_more_as_soon_as_a_place_is_free(capacity):
    first = capacity.take(make_jobs(PLACES))

    capacity.settle([(first, succeeded("1"), 5.0)])

    assert capacity.free(is_async=False) == 1
    assert capacity.should_refill(is_async=False)


def test_kinds_have_room_of_their_own(capacity):
    capacity.take(make_jobs(PLACES))

    assert capacity.free(is_async=True) == 100
    capacity.take([make_job(is_async=True)])
    assert capacity.free(is_async=True) == 99


def test_jobs_are_numbered_on(capacity):
    jobs = make_jobs(5)

    assert capacity.take(jobs[:3]) == 1
    assert capacity.take(jobs[3:]) == 4
    assert capacity.held == dict(enumerate(jobs, 1))


def test_what_ended_comes_back_once(capacity):
    (job,) = make_jobs(1)
    number = capacity.take([job])
    row = (number, tuple(succeeded("1")), 0.1)

    assert capacity.settle([row, row]) == [(job, succeeded("1"))]
    assert not capacity.held


def test_behind_a_long_job_nothing_waits_until_one_has_ended(capacity, run_times):
    is_short(run_times)
    jobs = make_jobs(PLACES + 10)
    first = capacity.take(jobs)
    running = [(first + place, 0.0) for place in range(PLACES)]
    later = capacity._lanes[False].changed_at + STUCK_TIMEOUT + 0.1

    assert capacity.is_stuck(running, later)
    capacity.settle((first + index, released(), None) for index in range(PLACES, len(jobs)))
    assert capacity.free(is_async=False) == 0

    capacity.settle([(first, succeeded("1"), 0.00001)])
    assert capacity.free(is_async=False) >= 1


@pytest.mark.parametrize("begun", [0, 1, PLACES], ids=["none", "one", "all"])
def test_jobs_do_not_wait_behind_long_ones_if_the_engine_itself_stood_still(
    capacity, run_times, begun
):
    """In an exchange, for example: meanwhile jobs ended whose reports it has not read."""
    is_short(run_times)
    first = capacity.take(make_jobs(PLACES + 10))
    later = capacity._lanes[False].changed_at + 10 * STUCK_TIMEOUT
    running = [(first + place, later - 0.001) for place in range(begun)]

    assert not capacity.is_stuck(running, later)
    assert capacity.free(is_async=False) > 0
    assert run_times.estimate("tests.tasks.add") < 0.001


def test_a_long_job_of_one_kind_holds_up_none_of_the_other(capacity, run_times):
    is_short(run_times)
    first = capacity.take([make_job(is_async=True), *make_jobs(PLACES + 10)])
    later = capacity._lanes[False].changed_at + 10 * STUCK_TIMEOUT

    assert not capacity.is_stuck([(first, later - 10 * STUCK_TIMEOUT), (first + 1, later)], later)
