"""How long tasks run, learned from their jobs: short jobs may be claimed ahead of time."""

from __future__ import annotations

MAX_WAITING_SECONDS = 0.05
"""Estimated work that may wait for a slot."""
MAX_WAITING_JOBS = 1000
"""Jobs that may wait for a slot, however short they are."""
MAX_WAITING_PER_FINISHED = 4
"""Jobs that may wait for each job that has finished: the first ones may not be typical."""
_WEIGHT = 0.1
_WEIGHT_OF_LONGER = 0.5
_WEIGHT_IN_MIX = 0.02


class RunTimes:
    """Moving averages of run times: of each task, and of the recent mix of jobs."""

    def __init__(self) -> None:
        self._of_task: dict[str, float] = {}
        self._of_mix = MAX_WAITING_SECONDS
        self._finished = 0

    def record(self, task_path: str, seconds: float, count: int = 1) -> None:
        """Record that `count` jobs of a task finished together, after `seconds` on average.

        A longer time counts more than a shorter one. But now and then a thread waits for the
        interpreter as long as a thousand short jobs take, so one long time among many hardly
        counts.
        """
        average = self._of_task.get(task_path, seconds)
        weight = _WEIGHT_OF_LONGER if seconds > average else _WEIGHT
        self._of_task[task_path] = average + _repeated(weight, count) * (seconds - average)
        self._finished += count
        # A plain average at first, so that a burst of jobs does not start one by one.
        weight = max(_repeated(_WEIGHT_IN_MIX, count), count / self._finished)
        self._of_mix += weight * (seconds - self._of_mix)

    def estimate(self, task_path: str) -> float:
        """Return the seconds a job of a task may take; MAX_WAITING_SECONDS for an unknown task."""
        return self._of_task.get(task_path, MAX_WAITING_SECONDS)

    @property
    def mean(self) -> float:
        """The seconds that the next job may take, whatever its task."""
        return max(self._of_mix, 1e-6)

    @property
    def max_waiting(self) -> int:
        """How many jobs may wait for a slot: a few times as many as have finished."""
        return min(MAX_WAITING_PER_FINISHED * self._finished, MAX_WAITING_JOBS)


def _repeated(weight: float, count: int) -> float:
    """Return the weight of `count` values in a moving average in which one has `weight`."""
    return 1.0 - (1.0 - weight) ** count
