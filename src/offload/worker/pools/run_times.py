"""How long tasks run, learned from their jobs: short jobs may be claimed ahead of time."""

from __future__ import annotations

MAX_WAITING_SECONDS = 0.05
"""Seconds of estimated work that may wait for each slot."""
MAX_SECONDS_TO_START = 0.04
"""Seconds that an async job may wait for a slot, however long the running ones take: of so many,
some finish soon."""
MAX_WAITING_JOBS = 1000
"""Jobs that may wait for a slot, however short they are."""
MAX_WAITING_PER_FINISHED = 4
"""Jobs that may wait for each job that has finished: the first ones may not be typical."""
_WEIGHT = 0.1
"""Weight of a run time in the average of its task."""
_WEIGHT_OF_LONGER = 0.5
"""The same for a run time above the average."""
_WEIGHT_IN_MIX = 0.02
"""Weight of a run time in the average of all jobs."""


class RunTimes:
    """Moving averages of run times: of each task, and of the recent mix of jobs."""

    def __init__(self) -> None:
        self._task_averages: dict[str, float] = {}
        self._mix_average = MAX_WAITING_SECONDS
        self._finished = 0

    def record(self, task_path: str, seconds: float, count: int = 1) -> None:
        """Record that `count` jobs of a task finished together, after `seconds` on average.

        A time above the task's average counts more than one below. In the average of all jobs one
        long time hardly counts: now and then a thread waits for the interpreter as long as a
        thousand short jobs take.
        """
        average = self._task_averages.get(task_path, seconds)
        weight = _WEIGHT_OF_LONGER if seconds > average else _WEIGHT
        share = _combined_weight(weight, count)
        self._task_averages[task_path] = average + share * (seconds - average)
        self._finished += count
        # A plain average at first, so that a burst of jobs does not start one by one.
        weight = max(_combined_weight(_WEIGHT_IN_MIX, count), count / self._finished)
        self._mix_average += weight * (seconds - self._mix_average)

    def estimate(self, task_path: str) -> float:
        """Return the seconds a job of a task may take; MAX_WAITING_SECONDS for an unknown task."""
        return self._task_averages.get(task_path, MAX_WAITING_SECONDS)

    @property
    def mean(self) -> float:
        """The seconds that the next job may take, whatever its task."""
        return max(self._mix_average, 1e-6)

    @property
    def max_waiting(self) -> int:
        """How many jobs may wait for a slot: a few times as many as have finished."""
        return min(MAX_WAITING_PER_FINISHED * self._finished, MAX_WAITING_JOBS)


def _combined_weight(weight: float, count: int) -> float:
    """Return the weight of `count` values together, in a moving average where one has `weight`."""
    return 1.0 - (1.0 - weight) ** count
