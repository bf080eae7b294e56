"""How long tasks take, learned as they run: short ones may be claimed ahead."""

from __future__ import annotations

AHEAD = 0.05
"""Seconds of estimated work that may wait behind what runs."""
MOST_AHEAD = 500
"""Jobs that may wait behind what runs, however short they are."""
_WEIGHT = 0.1
_FORGET = 0.02


class Pace:
    """Moving averages of run times: of each task, and of the mix that came lately."""

    def __init__(self) -> None:
        self._of_task: dict[str, float] = {}
        self._of_mix = AHEAD

    def learn(self, task_path: str, seconds: float) -> None:
        """Take in how long a job of a task ran. A longer time counts more than a shorter one."""
        known = self._of_task.get(task_path, seconds)
        weight = 0.5 if seconds > known else _WEIGHT
        self._of_task[task_path] = known + weight * (seconds - known)
        self._of_mix += _FORGET * (seconds - self._of_mix)

    def estimate(self, task_path: str) -> float:
        """Return the seconds a job of a task may take; a whole share for an unknown one."""
        return self._of_task.get(task_path, AHEAD)

    @property
    def mix(self) -> float:
        """The seconds that the next job may take, whatever its task."""
        return max(self._of_mix, 1e-6)
