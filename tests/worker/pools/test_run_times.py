"""Estimates follow what was seen."""

from __future__ import annotations

import pytest

from offload.worker.pools.run_times import MAX_WAITING_SECONDS, RunTimes


def test_an_unknown_task_takes_a_whole_share():
    assert RunTimes().estimate("shop.tasks.new") == MAX_WAITING_SECONDS


def test_the_first_time_is_the_estimate():
    run_times = RunTimes()
    run_times.learn("shop.tasks.add", 0.002)

    assert run_times.estimate("shop.tasks.add") == pytest.approx(0.002)


def test_a_longer_time_counts_more_than_a_shorter_one():
    run_times = RunTimes()
    run_times.learn("shop.tasks.add", 0.010)
    run_times.learn("shop.tasks.add", 0.030)
    longer = run_times.estimate("shop.tasks.add")
    run_times.learn("shop.tasks.add", 0.0)

    assert longer == pytest.approx(0.020)
    assert run_times.estimate("shop.tasks.add") == pytest.approx(0.018)


def test_a_thread_that_waited_once_makes_no_short_task_a_long_one():
    run_times = RunTimes()
    run_times.learn("shop.tasks.add", 0.00002, 500)

    run_times.learn("shop.tasks.add", (499 * 0.00002 + 0.020) / 500, 500)

    assert run_times.estimate("shop.tasks.add") < 0.0001


def test_a_burst_of_short_jobs_is_known_soon_and_trusted_step_by_step():
    run_times = RunTimes()
    allowed = [run_times.most_ahead]
    for count in (1, 4, 20):
        run_times.learn("shop.tasks.add", 0.00002, count)
        allowed.append(run_times.most_ahead)

    assert run_times.mix == pytest.approx(0.00002)
    assert allowed == [0, 4, 20, 100]


def test_many_jobs_weigh_as_much_as_one_after_the_other():
    together, one_by_one = RunTimes(), RunTimes()
    for run_times in (together, one_by_one):
        run_times.learn("shop.tasks.add", 0.001, 1000)
    together.learn("shop.tasks.add", 0.004, 3)
    for _ in range(3):
        one_by_one.learn("shop.tasks.add", 0.004)

    assert together.estimate("shop.tasks.add") == pytest.approx(
        one_by_one.estimate("shop.tasks.add")
    )
    assert together.mix == pytest.approx(one_by_one.mix)
