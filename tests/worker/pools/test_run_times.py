"""Estimates of run times follow the finished jobs."""

from __future__ import annotations

import pytest

from offload.worker.pools.run_times import MAX_WAITING_SECONDS, RunTimes

TASK = "shop.tasks.add"


def test_an_unknown_task_is_estimated_to_fill_the_time_that_may_wait():
    assert RunTimes().estimate("shop.tasks.new") == MAX_WAITING_SECONDS


def test_the_first_run_time_is_the_estimate():
    run_times = RunTimes()
    run_times.record(TASK, 0.002)

    assert run_times.estimate(TASK) == pytest.approx(0.002)


def test_a_longer_time_counts_more_than_a_shorter_one():
    run_times = RunTimes()
    run_times.record(TASK, 0.010)
    run_times.record(TASK, 0.030)
    after_longer = run_times.estimate(TASK)
    run_times.record(TASK, 0.0)

    assert after_longer == pytest.approx(0.020)
    assert run_times.estimate(TASK) == pytest.approx(0.018)


def test_one_thread_that_had_to_wait_does_not_make_a_short_task_a_long_one():
    run_times = RunTimes()
    run_times.record(TASK, 0.00002, 500)

    run_times.record(TASK, (499 * 0.00002 + 0.020) / 500, 500)

    assert run_times.estimate(TASK) < 0.0001


def test_a_burst_of_short_jobs_is_recognised_soon_and_trusted_step_by_step():
    run_times = RunTimes()
    allowed = [run_times.max_waiting]
    for count in (1, 4, 20):
        run_times.record(TASK, 0.00002, count)
        allowed.append(run_times.max_waiting)

    assert run_times.mean == pytest.approx(0.00002)
    assert allowed == [0, 4, 20, 100]


def test_jobs_recorded_together_count_as_much_as_one_after_the_other():
    together, one_by_one = RunTimes(), RunTimes()
    for run_times in (together, one_by_one):
        run_times.record(TASK, 0.001, 1000)
    together.record(TASK, 0.004, 3)
    for _ in range(3):
        one_by_one.record(TASK, 0.004)

    assert together.estimate(TASK) == pytest.approx(one_by_one.estimate(TASK))
    assert together.mean == pytest.approx(one_by_one.mean)
