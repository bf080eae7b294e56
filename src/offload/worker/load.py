"""The jobs that one executor holds, and how many more it can take."""

from __future__ import annotations

import time

from offload.store.records import ClaimedJob
from offload.worker.pace import AHEAD, MOST_AHEAD, Pace


class Load:
    """Jobs are numbered as they are taken, so both sides of a pipe can name them.

    Args:
        threads: jobs written with def that run at once.
        slots: jobs written with async def that run at once.
        pace: how long tasks take.
    """

    def __init__(self, threads: int, slots: int, pace: Pace) -> None:
        self.held: dict[int, ClaimedJob] = {}
        self.pace = pace
        self.last_change = time.monotonic()
        self._limits = (threads, slots)
        self._counts = [0, 0]
        self._work = [0.0, 0.0]
        self._estimates: dict[int, float] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self.held)

    def room(self, *, is_async: bool) -> int:
        """Return how many more jobs can be taken: free places, and what may wait for one."""
        limit, count = self._limits[is_async], self._counts[is_async]
        free = limit - count
        budget = AHEAD * limit - self._work[is_async]
        ahead = min(int(budget / self.pace.mix), MOST_AHEAD - count)
        return max(free, ahead, 0)

    def take(self, job: ClaimedJob) -> int:
        """Add a job; return its number."""
        number, self._next = self._next, self._next + 1
        lane = bool(job.is_async)
        estimate = self.pace.estimate(job.task_path)
        self.held[number] = job
        self._estimates[number] = estimate
        self._counts[lane] += 1
        self._work[lane] += estimate
        return number

    def drop(self, number: int, seconds: float | None = None) -> ClaimedJob | None:
        """Remove a job that ended after `seconds`, or was not begun (None); return it."""
        job = self.held.pop(number, None)
        if job is None:
            return None
        lane = bool(job.is_async)
        self._counts[lane] -= 1
        self._work[lane] = max(0.0, self._work[lane] - self._estimates.pop(number))
        if seconds is not None:
            self.pace.learn(job.task_path, seconds)
        self.last_change = time.monotonic()
        return job

    @property
    def waiting(self) -> int:
        """How many of the jobs must be waiting for a place."""
        return sum(max(0, self._counts[lane] - self._limits[lane]) for lane in (0, 1))
