"""The jobs that one executor holds, and how many more it can take."""

from __future__ import annotations

import time
from collections.abc import Iterable

from offload.store.records import ClaimedJob
from offload.worker.pace import AHEAD, MOST_AHEAD, Pace

STUCK = 0.2
"""Seconds in which no job of a lane ended after which those that wait are taken back."""


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
        self._limits = (threads, slots)
        self._changed_at = [0.0, 0.0]
        self._is_stuck = [False, False]
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
        if self._is_stuck[is_async]:
            return max(free, 0)
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
        if not self._counts[lane]:
            self._changed_at[lane] = time.monotonic()
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
            self._is_stuck[lane] = False
        self._changed_at[lane] = time.monotonic()
        return job

    def is_stuck(self, running: Iterable[tuple[int, float]], now: float) -> bool:
        """Tell whether jobs wait behind long ones; take none ahead there until one has ended.

        Args:
            running: number and start of the jobs that run, from which their tasks' pace is learned.
            now: monotonic clock.
        """
        stuck = [
            lane
            for lane in (0, 1)
            if self._counts[lane] > self._limits[lane] and now - self._changed_at[lane] > STUCK
        ]
        for lane in stuck:
            self._is_stuck[lane], self._changed_at[lane] = True, now
        for number, since in running if stuck else ():
            job = self.held.get(number)
            if job is not None:
                self.pace.learn(job.task_path, now - since)
        return bool(stuck)
