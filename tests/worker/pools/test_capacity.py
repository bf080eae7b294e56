"""An executor takes as much as it can run soon, and no more."""

from __future__ import annotations

import pytest

from offload.lifecycle import released, succeeded
from offload.store.records import ClaimedJob
from offload.uuid7 import new_id
from offload.worker.pools.capacity import STUCK, Capacity
from offload.worker.pools.run_times import MOST_AHEAD, RunTimes

PLACES = 4


@pytest.fixture
def pace() -> RunTimes:
    return RunTimes()


@pytest.fixture
def load(pace: RunTimes) -> Capacity:
    return Capacity(PLACES, 100, pace)


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


def is_short(pace: RunTimes) -> None:
    pace.learn("tests.tasks.add", 0.00001, 1000)


def test_of_unknown_tasks_it_takes_as_many_as_it_can_run(load):
    assert load.room(is_async=False) == PLACES

    load.take(make_jobs(PLACES))

    assert load.room(is_async=False) == 0
    assert not load.wants(is_async=False)
    assert not load.is_backed_up


def test_it_wants_more_as_soon_as_none_waits_and_one_may(load, pace):
    pace.learn("tests.tasks.add", 0.02, 1000)  # two may wait in each place
    load.take(make_jobs(PLACES))
    assert load.wants(is_async=False)

    load.take(make_jobs(PLACES))
    assert not load.wants(is_async=False)


def test_of_short_tasks_it_takes_many_ahead(load, pace):
    is_short(pace)

    assert load.room(is_async=False) == MOST_AHEAD


def test_it_wants_more_when_half_of_what_may_wait_is_gone(load, pace):
    is_short(pace)
    first = load.take(make_jobs(MOST_AHEAD))
    ended = [(first + index, succeeded("1"), 0.00001) for index in range(MOST_AHEAD)]
    half = MOST_AHEAD // 2

    load.settle(ended[: half - 1])
    assert load.room(is_async=False) > 0
    assert not load.wants(is_async=False)
    assert load.is_backed_up

    load.settle(ended[half - 1 : half])
    assert load.wants(is_async=False)


def test_it_wants_more_as_soon_as_a_place_is_free(load):
    first = load.take(make_jobs(PLACES))

    load.settle([(first, succeeded("1"), 5.0)])

    assert load.room(is_async=False) == 1
    assert load.wants(is_async=False)


def test_kinds_have_room_of_their_own(load):
    load.take(make_jobs(PLACES))

    assert load.room(is_async=True) == 100
    load.take([make_job(is_async=True)])
    assert load.room(is_async=True) == 99


def test_jobs_are_numbered_on(load):
    jobs = make_jobs(5)

    assert load.take(jobs[:3]) == 1
    assert load.take(jobs[3:]) == 4
    assert load.held == dict(enumerate(jobs, 1))


def test_what_ended_comes_back_once(load):
    (job,) = make_jobs(1)
    number = load.take([job])
    row = (number, tuple(succeeded("1")), 0.1)

    assert load.settle([row, row]) == [(job, succeeded("1"))]
    assert not load.held


def test_behind_a_long_job_nothing_waits_until_one_has_ended(load, pace):
    is_short(pace)
    jobs = make_jobs(PLACES + 10)
    first = load.take(jobs)
    running = [(first + place, 0.0) for place in range(PLACES)]
    later = load._lanes[False].changed_at + STUCK + 0.1

    assert load.is_stuck(running, later)
    load.settle((first + index, released(), None) for index in range(PLACES, len(jobs)))
    assert load.room(is_async=False) == 0

    load.settle([(first, succeeded("1"), 0.00001)])
    assert load.room(is_async=False) >= 1


@pytest.mark.parametrize("begun", [0, 1, PLACES], ids=["none", "one", "all"])
def test_jobs_do_not_wait_behind_long_ones_if_the_engine_itself_stood_still(load, pace, begun):
    """In an exchange, for example: meanwhile jobs ended whose reports it has not read."""
    is_short(pace)
    first = load.take(make_jobs(PLACES + 10))
    later = load._lanes[False].changed_at + 10 * STUCK
    running = [(first + place, later - 0.001) for place in range(begun)]

    assert not load.is_stuck(running, later)
    assert load.room(is_async=False) > 0
    assert pace.estimate("tests.tasks.add") < 0.001


def test_a_long_job_of_one_kind_holds_up_none_of_the_other(load, pace):
    is_short(pace)
    first = load.take([make_job(is_async=True), *make_jobs(PLACES + 10)])
    later = load._lanes[False].changed_at + 10 * STUCK

    assert not load.is_stuck([(first, later - 10 * STUCK), (first + 1, later)], later)
