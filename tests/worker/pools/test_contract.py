"""The promises of every pool, without a worker around it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from offload import JobState, lifecycle
from offload.lifecycle import JobFailure
from offload.store import get_store
from offload.store.records import ClaimedJob, EndedJob
from offload.worker.pools import waiting_jobs
from offload.worker.pools.base import Pool
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.in_process import InProcessPool
from offload.worker.pools.processes import ProcessPool
from tests.tasks import aadd, add
from tests.worker import event_log, progress_tasks, tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.pools.running_pool import RunningPool, has_started

THREADS, ASYNC_SLOTS = 2, 3
LIMITS: dict[str, Any] = {
    "threads": THREADS,
    "async_slots": ASYNC_SLOTS,
    "async_threads": 2,
    "using": "default",
}
KINDS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


pytestmark = pytest.mark.usefixtures("takes_nothing_back")


def make_in_process_pool(**limits: Any) -> Pool:
    return InProcessPool(**LIMITS, **limits)


def make_process_pool(**limits: Any) -> Pool:
    return ProcessPool(processes=1, limits=ChildLimits(**LIMITS, **limits, lease=30.0))


@pytest.fixture
def kill_grace_period() -> float:
    return 0.3


@pytest.fixture(params=[make_in_process_pool, make_process_pool], ids=["in process", "processes"])
def running(request: pytest.FixtureRequest, kill_grace_period: float) -> Iterator[RunningPool]:
    running = RunningPool(request.param(kill_grace_period=kill_grace_period))
    yield running
    running.pool.stop()


@pytest.fixture
def pool(running: RunningPool) -> Pool:
    return running.pool


def hold(gate: Any, *, is_async: bool) -> ClaimedJob:
    return claimed(tasks.ahold if is_async else tasks.hold, str(gate))


@pytest.mark.parametrize("task", [add, aadd])
def test_each_job_is_collected_once_with_its_outcome(running, task):
    outcomes = running.run(*(claimed(task, number) for number in range(50)))

    assert [outcome.return_value for outcome in outcomes] == [str(n) for n in range(50)]
    running.step()
    assert len(running.outcomes) == 50


def test_jobs_are_held_until_they_are_collected(running, pool, gate):
    job = hold(gate, is_async=False)
    running.start_jobs(job)
    assert pool.held_jobs() == [job]
    assert not pool.is_empty

    gate.touch()
    running.wait(job)

    assert pool.held_jobs() == []
    assert pool.is_empty


@KINDS
def test_full_slots_leave_no_capacity_for_jobs_of_unknown_length(running, pool, gate, is_async):
    slots = ASYNC_SLOTS if is_async else THREADS
    assert pool.capacity(is_async=is_async) == slots
    assert pool.should_refill(is_async=is_async)

    running.start_jobs(*(hold(gate, is_async=is_async) for _ in range(slots)))

    assert pool.capacity(is_async=is_async) == 0
    assert not pool.should_refill(is_async=is_async)
    assert pool.capacity(is_async=not is_async) > 0


@KINDS
def test_jobs_above_the_slots_wait_and_can_be_released(running, pool, gate, is_async):
    slots = ASYNC_SLOTS if is_async else THREADS
    jobs = [hold(gate, is_async=is_async) for _ in range(slots)]
    running.start_jobs(*jobs)
    assert not pool.is_backed_up
    waiting = hold(gate, is_async=is_async)
    pool.submit([waiting])
    assert pool.is_backed_up

    pool.release_waiting()

    assert running.wait(waiting) == [lifecycle.released()]
    assert not has_started(waiting)
    gate.touch()
    assert {outcome.state for outcome in running.wait(*jobs)} == {JobState.SUCCESSFUL}


def test_jobs_behind_a_task_that_blocks_the_event_loop_are_released(
    running, pool, fifo, monkeypatch
):
    """They would wait as long as it, although slots are free."""
    monkeypatch.setattr(waiting_jobs, "START_TIMEOUT", 1.0)
    blocking = claimed(tasks.block_loop, str(fifo))
    running.start_jobs(blocking)
    waiting = claimed(aadd, 1)

    assert running.run(waiting) == [lifecycle.released()]
    assert pool.capacity(is_async=True) == 0
    assert running.run(claimed(add, 1))[0].state == JobState.SUCCESSFUL

    os.close(os.open(fifo, os.O_WRONLY))
    running.wait(blocking)
    until(lambda: running.step() or pool.capacity(is_async=True))
    assert running.run(claimed(aadd, 1))[0].state == JobState.SUCCESSFUL
    assert waiting.id not in {entry.words[0] for entry in event_log.entries("running")}


def test_a_descriptor_becomes_readable_when_a_job_finishes(running, pool, gate):
    job = hold(gate, is_async=False)
    running.start_jobs(job)
    readers, writers = pool.descriptors()
    assert not writers
    assert not select.select(readers, [], [], 0)[0]

    gate.touch()

    assert select.select(readers, [], [], 20)[0]
    running.wait(job)


@pytest.mark.parametrize("task", [progress_tasks.count, progress_tasks.acount])
def test_the_last_progress_comes_with_the_finished_job(running, pool, task):
    job = claimed(task, 1000)
    running.run(job)

    assert '"done":1000' in pool.progress()[job.key]
    assert pool.progress() == {}


@pytest.mark.parametrize("task", [tasks.loop_forever, tasks.sleep_forever])
def test_a_running_job_is_cancelled(running, pool, task):
    job = claimed(task)
    running.start_jobs(job)

    pool.cancel([job.key])

    (outcome,) = running.wait(job)
    assert outcome.state == JobState.CANCELLED


@pytest.mark.parametrize("kill_grace_period", [30.0])
@pytest.mark.parametrize("task", [tasks.loop_forever, tasks.sleep_forever])
def test_a_job_is_stopped_at_its_time_limit(running, task):
    (outcome,) = running.run(claimed(task, timeout=0.1, max_attempts=1))

    assert outcome.state == JobState.FAILED
    assert outcome.failure[:2] == (
        "offload.exceptions.JobTimeout",
        "The task ran longer than its timeout of 0.1 s.",
    )


@pytest.mark.parametrize("task", [tasks.swallow_everything, tasks.swallow_cancellation])
def test_a_job_that_does_not_stop_when_interrupted_is_finished_without_it(running, gate, task):
    (outcome,) = running.run(claimed(task, str(gate), timeout=1.0))

    assert outcome.state == JobState.FAILED
    assert "timeout of 1 s, and did not stop when interrupted" in outcome.failure[1]
    until(lambda: running.step() or running.pool.capacity(is_async=False))
    (outcome,) = running.run(claimed(add, 1))
    assert outcome.return_value == "1"


def test_a_stop_releases_running_jobs_and_loses_those_that_run_at_most_once(running, pool, gate):
    jobs = [claimed(tasks.hold, str(gate)), claimed(tasks.hold, str(gate), max_worker_losses=0)]
    running.start_jobs(*jobs)

    pool.stop()
    running.collect()

    released, lost = (running.outcomes[job.id] for job in jobs)
    assert released == lifecycle.released()
    assert lost.state == JobState.FAILED
    assert lost.worker_lost


@pytest.mark.django_db(transaction=True)
def test_receivers_are_called_for_jobs_that_ended_because_others_did(running, pool):
    running.run(claimed(tasks.noop))  # the process loads the module with the receivers
    result = tasks.noop.enqueue()
    get_store("default").cancel(UUID(result.id))

    pool.announce_ended([EndedJob(result.id, int(JobState.CANCELLED))])

    (entry,) = until(lambda: running.step() or event_log.entries("finished", result.id))
    assert entry.words[2:] == ("FAILED", "-")


@pytest.mark.django_db(transaction=True)
def test_receivers_are_called_although_the_pool_stops_while_a_process_seems_stalled(
    child_environment: None,
) -> None:
    running = RunningPool(make_process_pool(kill_grace_period=120.0))
    running.run(claimed(tasks.noop))  # the process loads the module with the receivers
    result = tasks.noop.enqueue()
    get_store("default").cancel(UUID(result.id))
    (child,) = running.pool._children  # type: ignore[attr-defined]
    child.jobs.seconds_stalled = 1.0  # as on a machine that has stalled itself

    running.pool.announce_ended([EndedJob(result.id, int(JobState.CANCELLED))])
    assert not event_log.entries("finished", result.id)
    running.pool.stop()

    assert len(event_log.entries("finished", result.id)) == 1


def test_receivers_are_called_for_jobs_that_finished_elsewhere(running, pool):
    job = claimed(tasks.noop)
    failure = JobFailure("offload.exceptions.WorkerLost", "lost", "lost")

    pool.announce_finished([(job, lifecycle.failed(failure))])

    (entry,) = until(lambda: running.step() or event_log.entries("finished", str(UUID(job.id))))
    assert entry.words[2:] == ("FAILED", "WorkerLost")
