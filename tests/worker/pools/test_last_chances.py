"""A job that would fail if its process died once more runs alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offload import JobState, lifecycle
from offload.store.records import ClaimedJob
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.processes import ProcessPool
from tests.tasks import add
from tests.worker import tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.pools.running_pool import RunningPool, has_started

pytestmark = pytest.mark.usefixtures("takes_nothing_back")

LIMITS = ChildLimits(
    threads=2, async_slots=3, async_threads=1, kill_grace_period=0.3, using="default", lease=30.0
)


@pytest.fixture
def running() -> Iterator[RunningPool]:
    running = RunningPool(ProcessPool(processes=1, limits=LIMITS))
    yield running
    running.pool.stop()


def last_chance(gate: object) -> ClaimedJob:
    return claimed(tasks.hold, str(gate), worker_losses=3)


def test_as_many_run_at_once_as_there_are_threads_and_the_others_wait(running, gate):
    pool = running.pool
    usual = claimed(tasks.hold, str(gate), worker_losses=2)
    first, second, third, fourth = jobs = [last_chance(gate) for _ in range(4)]
    running.start_jobs(usual)
    pool.submit(jobs)
    until(lambda: running.step() or (has_started(first) and has_started(second)))

    assert pool.capacity(is_async=False) == 0  # a slot is free, and two jobs wait
    assert not pool.should_refill(is_async=False)
    assert set(pool.held_jobs()) == {usual, *jobs}
    pool.cancel([third.key])
    assert running.wait(third) == [lifecycle.released()]
    pool.release_waiting()
    assert running.wait(fourth) == [lifecycle.released()]
    assert pool.capacity(is_async=False) == 1

    gate.touch()
    assert {outcome.state for outcome in running.wait(usual, first, second)} == {
        JobState.SUCCESSFUL
    }
    assert len({running.outcomes[job.id].return_value for job in (usual, first, second)}) == 3


def test_they_run_one_after_the_other_and_their_process_exits(running):
    jobs = [claimed(tasks.log_word, "alone", worker_losses=3) for _ in range(6)]

    outcomes = running.run(*jobs, claimed(add, 1))

    assert len({outcome.return_value for outcome in outcomes[:-1]}) <= 2
    until(lambda: running.step() or len(running.pool._children) == 1)


def test_a_stop_releases_those_that_wait(running, gate):
    jobs = [last_chance(gate) for _ in range(3)]
    running.pool.submit(jobs)
    until(lambda: running.step() or has_started(jobs[0]))

    running.pool.stop()
    running.collect()

    assert [running.outcomes[job.id] for job in jobs] == [lifecycle.released()] * 3
