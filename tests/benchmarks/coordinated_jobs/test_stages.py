"""What the benchmark of workflows, limits and schedules finds in the runs of jobs."""

from __future__ import annotations

import pytest

from coordinated_jobs.run_log import RECORD, Run, count_runs, read_runs
from coordinated_jobs.stages import (
    START_SECONDS,
    judge_chain,
    judge_fan_in,
    judge_limits,
    judge_schedules,
)

SECOND = 1_000_000_000


def run(number: int, *, key: int = 0, started: float, ended: float | None = None) -> Run:
    end = started if ended is None else ended
    return Run(number, key, int(started * SECOND), int(end * SECOND))


def test_jobs_of_a_chain_that_run_one_after_the_other_are_in_order():
    outcome = judge_chain([run(number, started=number) for number in range(5)], {"length": 5})

    assert (outcome.runs, outcome.twice, outcome.early, outcome.never) == (5, 0, 0, 0)
    assert outcome.rate == pytest.approx(5 / 4)


def test_a_job_of_a_chain_that_overtakes_is_too_early():
    runs = [run(0, started=0, ended=2), run(1, started=1)]

    assert judge_chain(runs, {"length": 2}).early == 1


def test_a_job_of_a_chain_whose_forerunner_did_not_run_is_too_early():
    outcome = judge_chain([run(1, started=1)], {"length": 2})

    assert (outcome.early, outcome.never) == (1, None)


def test_the_last_job_of_a_fan_in_that_waits_for_all_is_in_order():
    runs = [run(0, started=0, ended=3), run(1, started=1), run(2, started=3)]

    outcome = judge_fan_in(runs, {"width": 2})

    assert (outcome.runs, outcome.early, outcome.never) == (3, 0, 0)


@pytest.mark.parametrize(
    "runs",
    [
        [run(0, started=0, ended=3), run(1, started=1), run(2, started=2)],
        [run(0, started=0), run(2, started=2)],
    ],
    ids=["one still runs", "one did not run"],
)
def test_the_last_job_of_a_fan_in_that_does_not_wait_is_too_early(runs):
    assert judge_fan_in(runs, {"width": 2}).early == 1


def test_a_job_that_runs_again_is_counted():
    runs = [run(0, started=0), run(0, started=1), run(1, started=2)]

    assert judge_chain(runs, {"length": 2}).twice == 1


def test_jobs_of_one_key_may_not_overlap():
    runs = [
        run(0, key=1, started=0, ended=2),
        run(1, key=2, started=1, ended=3),
        run(2, key=1, started=1.5),
        run(3, key=1, started=1.9),
    ]

    assert judge_limits(runs, {"keys": 2, "per_key": 2}).early == 2


def ticks(*times: float) -> list[Run]:
    """One run that starts the clock, then those of a schedule of two seconds."""
    return [run(0, started=0), *(run(0, started=START_SECONDS + time) for time in times)]


@pytest.mark.parametrize(
    ("runs", "twice", "never"),
    [
        (ticks(1, 3.1, 5, 7), 0, 0),
        (ticks(1, 3, 3.2, 5), 1, 0),
        (ticks(1, 3, 7, 9), 0, 1),
    ],
    ids=["each once", "one twice", "one missing"],
)
def test_a_schedule_runs_once_in_each_period(runs, twice, never):
    outcome = judge_schedules(runs, {"count": 1, "period": 2})

    assert (outcome.twice, outcome.never) == (twice, never)


def test_a_schedule_that_stops_or_never_starts_misses_runs():
    runs = [*ticks(1, 3, 5, 7, 9), run(0, key=1, started=START_SECONDS + 1)]
    runs.sort(key=lambda one: one.started)

    outcome = judge_schedules(runs, {"count": 3, "period": 2})

    assert outcome.never == 3 + 3  # of key 1 after its only run, of key 2 in all


def test_a_record_that_is_still_being_written_is_left_out(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(RECORD.pack(1, 2, 40, 50) + RECORD.pack(0, 2, 30, 50) + b"half")

    assert read_runs(log) == [Run(0, 2, 30, 50), Run(1, 2, 40, 50)]
    assert count_runs(log) == 2
