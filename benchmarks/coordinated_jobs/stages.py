"""The stages of `coordination.py`: their sizes, and what each run of their jobs must obey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from comparison.measurements import quantile
from coordinated_jobs.run_log import Run

NANOSECONDS = 1e9
START_SECONDS = 5
"""Schedules are judged from here on, when all processes have started."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the runs of a stage showed.

    Attributes:
        runs: how many jobs ran.
        rate: runs a second, from the first start to the last end.
        twice: runs of a job that had run before.
        early: runs that started before they might.
        never: jobs that did not run; None if the stage was stopped.
        deviation: seconds by which the time between two runs of a schedule differed from its
            period: at most so many for half of them, and for 99 of 100.
    """

    runs: int
    rate: float
    twice: int
    early: int
    never: int | None
    deviation: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage.

    Attributes:
        name: the function of a contender's module that enqueues its jobs.
        title: its heading.
        sizes: the arguments of this function.
        quick_sizes: those of `--quick`.
        seconds: after which it is stopped.
        count: returns how many jobs it has; None if it ends only when it is stopped.
        judge: returns what the runs showed.
    """

    name: str
    title: str
    sizes: Mapping[str, int]
    quick_sizes: Mapping[str, int]
    seconds: float
    count: Callable[[Mapping[str, int]], int | None]
    judge: Callable[[Sequence[Run], Mapping[str, int]], Outcome]


def judge_chain(runs: Sequence[Run], sizes: Mapping[str, int]) -> Outcome:
    """Each job starts after the one before has ended."""
    ended = {run.number: run.ended for run in runs}
    never_ended = float("inf")
    early = sum(
        run.number > 0 and ended.get(run.number - 1, never_ended) > run.started for run in runs
    )
    return _outcome(runs, sizes["length"], early)


def judge_fan_in(runs: Sequence[Run], sizes: Mapping[str, int]) -> Outcome:
    """The last job starts after all others have ended."""
    width = sizes["width"]
    ended = [run.ended for run in runs if run.number < width]
    is_whole = len({run.number for run in runs if run.number < width}) == width
    early = sum(run.number == width and (not is_whole or max(ended) > run.started) for run in runs)
    return _outcome(runs, width + 1, early)


def judge_limits(runs: Sequence[Run], sizes: Mapping[str, int]) -> Outcome:
    """No job starts before another of its key has ended."""
    ended: dict[int, int] = {}
    early = 0
    for run in runs:
        early += ended.get(run.key, 0) > run.started
        ended[run.key] = max(run.ended, ended.get(run.key, 0))
    return _outcome(runs, sizes["keys"] * sizes["per_key"], early)


def judge_schedules(runs: Sequence[Run], sizes: Mapping[str, int]) -> Outcome:
    """Each schedule runs once in each period, whatever the phase of its queue's clock."""
    period = sizes["period"] * NANOSECONDS
    first = runs[0].started + START_SECONDS * NANOSECONDS
    last = runs[-1].started
    starts: dict[int, list[int]] = {key: [] for key in range(sizes["count"])}
    for run in runs:
        if run.started >= first:
            starts[run.key].append(run.started)
    twice = never = 0
    deviations = []
    for times in starts.values():
        # What is missing after the last run of a schedule is missing, too.
        bounds = [*times, max(last, times[-1])] if times else [first, last]
        gaps = [(after - before) / period for before, after in pairwise(bounds)]
        twice += sum(gap < 0.5 for gap in gaps[:-1])
        never += sum(max(round(gap) - 1, 0) for gap in gaps)
        deviations += [abs(gap - 1) * sizes["period"] for gap in gaps[:-1]]
    return Outcome(
        runs=len(runs),
        rate=_rate(runs),
        twice=twice,
        early=0,
        never=never,
        deviation=(quantile(deviations, 0.5) or 0.0, quantile(deviations, 0.99) or 0.0),
    )


def _outcome(runs: Sequence[Run], count: int, early: int) -> Outcome:
    different = len({run.number for run in runs})
    is_whole = different == count
    return Outcome(
        runs=len(runs),
        rate=_rate(runs),
        twice=len(runs) - different,
        early=early,
        never=0 if is_whole else None,
    )


def _rate(runs: Sequence[Run]) -> float:
    if len(runs) < 2:
        return 0.0
    return len(runs) / ((max(run.ended for run in runs) - runs[0].started) / NANOSECONDS)


STAGES = (
    Stage(
        name="chain",
        title="Chain",
        sizes={"length": 1_000},
        quick_sizes={"length": 200},
        seconds=60,
        count=lambda sizes: sizes["length"],
        judge=judge_chain,
    ),
    Stage(
        name="fan_in",
        title="Many jobs, and one after all of them",
        sizes={"width": 10_000},
        quick_sizes={"width": 1_000},
        seconds=60,
        count=lambda sizes: sizes["width"] + 1,
        judge=judge_fan_in,
    ),
    Stage(
        name="limits",
        title="Jobs of which one per key may run at a time",
        sizes={"keys": 100, "per_key": 1_000},
        quick_sizes={"keys": 100, "per_key": 50},
        seconds=60,
        count=lambda sizes: sizes["keys"] * sizes["per_key"],
        judge=judge_limits,
    ),
    Stage(
        name="schedules",
        title="Schedules",
        sizes={"count": 1_000, "period": 5},
        quick_sizes={"count": 100, "period": 2},
        seconds=30,
        count=lambda _: None,
        judge=judge_schedules,
    ),
)
