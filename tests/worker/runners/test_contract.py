"""The promises of every runner."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from offload import JobState
from offload.exceptions import JobCancelled, JobTimeout
from offload.lifecycle import released, succeeded
from offload.progress import ProgressReporter
from offload.worker.execution import executor
from tests.tasks import aadd, add
from tests.worker import progress_tasks, tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import (
    MakeRunner,
    RaisesOnce,
    has_started,
    make_event_loop,
    make_threads,
)

TIMEOUT = "offload.exceptions.JobTimeout"


@dataclass(frozen=True)
class Kind:
    """A runner, and tasks of the kind of job that it runs."""

    make: MakeRunner
    add: Any
    hold: Any
    run_forever: Any
    count: Any


SYNC = Kind(make_threads, add, tasks.hold, tasks.loop_forever, progress_tasks.count)
ASYNC = Kind(make_event_loop, aadd, tasks.ahold, tasks.sleep_forever, progress_tasks.acount)


@pytest.fixture(params=[SYNC, ASYNC], ids=["threads", "event loop"])
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


def test_each_job_is_reported_once_with_outcome_and_run_time(start, kind):
    harness = start(kind.make, slots=3)
    numbers = harness.submit(*(claimed(kind.add, value) for value in range(100)))

    reports = {report.number: report for report in (harness.report() for _ in numbers)}

    assert sorted(reports) == numbers
    assert [reports[number].outcome for number in numbers] == [
        succeeded(str(value)) for value in range(100)
    ]
    assert all(0 <= report.run_seconds < 10 for report in reports.values())
    assert not harness.has_report


def test_one_slot_runs_jobs_in_their_order(start, kind):
    harness = start(kind.make)
    numbers = harness.submit(*(claimed(kind.add, value) for value in range(50)))

    assert [harness.report().number for _ in numbers] == numbers


def test_as_many_jobs_run_at_once_as_there_are_slots(start, kind, gate):
    harness = start(kind.make, slots=2)
    jobs = [claimed(kind.hold, str(gate)) for _ in range(3)]
    numbers = harness.submit(*jobs)
    until(lambda: all(has_started(job) for job in jobs[:2]))

    assert harness.running() == set(numbers[:2])
    assert harness.slots.has_started(numbers[1], is_async=kind is ASYNC)
    assert not harness.slots.has_started(numbers[2], is_async=kind is ASYNC)

    gate.touch()
    assert {harness.report().number for _ in jobs} == set(numbers)
    assert not harness.running()


def test_jobs_that_were_taken_back_do_not_start_and_are_reported_as_released(start, kind, gate):
    harness = start(kind.make)
    jobs = [claimed(kind.hold, str(gate)) for _ in range(3)]
    first, *waiting = harness.submit(*jobs)
    until(lambda: has_started(jobs[0]))

    harness.slots.take_back(waiting[-1], is_async=kind is ASYNC)

    gate.touch()
    assert harness.report().number == first
    reports = [harness.report() for _ in waiting]
    assert [report.number for report in reports] == waiting
    assert {(report.outcome, report.run_seconds) for report in reports} == {(released(), None)}
    assert harness.run(kind.add, 1).outcome == succeeded("1")
    assert not any(has_started(job) for job in jobs[1:])


def test_a_report_says_whether_more_jobs_follow(start, kind, gate):
    harness = start(kind.make)
    first, *rest = [claimed(kind.hold, str(gate)) for _ in range(3)]
    harness.submit(first)
    until(lambda: has_started(first))
    harness.submit(*rest)
    gate.touch()

    assert [harness.report().more_follow for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("interruption", "state"),
    [(JobCancelled, JobState.CANCELLED), (JobTimeout, JobState.FAILED)],
)
def test_an_interruption_is_raised_in_the_code_of_a_running_task(start, kind, interruption, state):
    harness = start(kind.make)
    job = claimed(kind.run_forever, max_attempts=1)
    harness.submit(job)
    until(lambda: has_started(job))

    harness.runner.interrupt(job.key, interruption)

    report = harness.report()
    assert report.outcome.state == state
    assert report.outcome.failure[0] == f"offload.exceptions.{interruption.__name__}"
    assert harness.run(kind.add, 1).outcome == succeeded("1")


def test_a_job_cancelled_before_its_start_is_interrupted_once_it_runs(start, kind):
    harness = start(kind.make)
    job = claimed(kind.run_forever)
    harness.runner.interrupt(job.key, JobCancelled)
    harness.submit(job)
    until(lambda: has_started(job))

    harness.runner.enforce_limits(time.monotonic())

    assert harness.report().outcome.state == JobState.CANCELLED


def test_a_job_is_interrupted_at_its_time_limit_and_not_before(start, kind):
    harness = start(kind.make)
    job = claimed(kind.run_forever, timeout=30.0, max_attempts=1)
    harness.submit(job)
    until(lambda: has_started(job))
    harness.runner.enforce_limits(time.monotonic() + 1)
    assert not harness.has_report

    harness.runner.enforce_limits(time.monotonic() + 31)

    assert harness.report().outcome.failure[0] == TIMEOUT


def test_progress_is_passed_on_while_the_job_runs(start, kind):
    reporters: list[ProgressReporter] = []
    harness = start(kind.make, on_progress=reporters.append)

    harness.run(kind.count, 1000)

    assert '"done":1000' in reporters[-1].read(time.monotonic())


def test_a_stopped_runner_finishes_its_jobs_and_its_threads_exit(start, kind, gate):
    before = set(threading.enumerate())
    harness = start(kind.make)
    jobs = [claimed(kind.hold, str(gate)) for _ in range(2)]
    numbers = harness.submit(*jobs)
    until(lambda: has_started(jobs[0]))

    harness.runner.stop()
    gate.touch()

    assert [harness.report().number for _ in jobs] == numbers
    started = {t for t in threading.enumerate() if t.name.startswith("offload-")} - before
    until(lambda: not any(thread.is_alive() for thread in started))


@pytest.mark.parametrize("error", [RecursionError("deep"), SystemExit("out")])
def test_a_job_whose_run_cannot_be_created_is_reported_as_failed(start, monkeypatch, kind, error):
    monkeypatch.setattr(executor, "JobRun", RaisesOnce(error, executor.JobRun))
    harness = start(kind.make)

    first, second = harness.run(kind.add, 1), harness.run(kind.add, 1)

    assert first.outcome.state == JobState.FAILED
    assert first.outcome.failure[0] == f"builtins.{type(error).__name__}"
    assert second.outcome.state == JobState.SUCCESSFUL
