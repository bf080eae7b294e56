"""How long tasks take, learned as they run: short ones may be claimed ahead."""

from __future__ import annotations

MAX_WAITING_SECONDS = 0.05
"""Seconds of estimated work that may wait behind what runs."""
MAX_WAITING_JOBS = 1000
"""Jobs that may wait behind what runs, however short they are."""
MAX_WAITING_PER_FINISHED = 4
"""Jobs that may wait for each job that was seen to end: the first ones may tell nothing."""
_WEIGHT = 0.1
_WEIGHT_OF_LONGER = 0.5
_WEIGHT_IN_MIX = 0.02


class RunTimes:
    """Moving averages of run times: of each task, and of the mix that came lately."""

    def __init__(self) -> None:
        self._of_task: dict[str, float] = {}
        self._of_mix = MAX_WAITING_SECONDS
        self._learned = 0

    def learn(self, task_path: str, seconds: float, count: int = 1) -> None:
        """Take in how long jobs of a task ran that ended together: `seconds` on average.

        A longer time counts more than a shorter one. But a thread now and then waits for the
        interpreter as long as a thousand short jobs take, so one long time among many is none.
        """
        known = self._of_task.get(task_path, seconds)
        weight = _WEIGHT_OF_LONGER if seconds > known else _WEIGHT
        self._of_task[task_path] = known + _repeated(weight, count) * (seconds - known)
        self._learned += count
        # The first ones make a plain average, so that a burst does not begin with single steps.
        weight = max(_repeated(_WEIGHT_IN_MIX, count), count / self._learned)
        self._of_mix += weight * (seconds - self._of_mix)

    def estimate(self, task_path: str) -> float:
        """Return the seconds a job of a task may take; a whole share for an unknown one."""
        return self._of_task.get(task_path, MAX_WAITING_SECONDS)

    @property
    def mix(self) -> float:
        """The seconds that the next job may take, whatever its task."""
        return max(self._of_mix, 1e-6)

    @property
    def most_ahead(self) -> int:
        """How many jobs may wait behind what runs: a few times as many as were seen to end."""
        return min(MAX_WAITING_PER_FINISHED * self._learned, MAX_WAITING_JOBS)


def _repeated(weight: float, count: int) -> float:
    """Return the weight of `count` values in a moving average in which one has `weight`."""
    return 1.0 - (1.0 - weight) ** count
