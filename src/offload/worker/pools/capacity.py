"""The jobs that one executor holds, and how many more it can take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob, FinishedJob
from offload.worker.pools.run_times import MAX_WAITING_SECONDS, RunTimes

STUCK_TIMEOUT = 0.2
"""Seconds in which no job of a lane ended after which those that wait are taken back."""

type Row = tuple[int, tuple[object, ...], float | None]
"""A job's number, its outcome, and how long it ran; None if it was not begun."""


@dataclass(slots=True)
class _Lane:
    """What is held of one kind: jobs written with def, or with async def.

    Attributes:
        places: how many run at once.
        count: how many are held.
        tasks: how many of each task.
        changed_at: when one came into an empty lane, or one ended last (monotonic clock).
        is_stuck: whether the others wait behind long ones.
    """

    places: int
    count: int = 0
    tasks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed_at: float = 0.0
    is_stuck: bool = False


class Capacity:
    """Jobs are numbered as they are taken, so both sides of a pipe can name them.

    Args:
        threads: jobs written with def that run at once.
        slots: jobs written with async def that run at once.
        run_times: how long tasks take.
    """

    def __init__(self, threads: int, slots: int, run_times: RunTimes) -> None:
        self.held: dict[int, ClaimedJob] = {}
        self.run_times = run_times
        self._lanes = (_Lane(threads), _Lane(slots))
        self._next = 1

    def __len__(self) -> int:
        return len(self.held)

    def free(self, *, is_async: bool) -> int:
        """Return how many more jobs can be taken: free places, and what may wait for one."""
        lane = self._lanes[is_async]
        free = max(lane.places - lane.count, 0)
        if lane.is_stuck:
            return free
        estimate = self.run_times.estimate
        work = sum(estimate(path) * count for path, count in lane.tasks.items())
        ahead = int((MAX_WAITING_SECONDS * lane.places - work) / self.run_times.mix)
        return max(free, min(ahead, self.run_times.most_ahead - lane.count))

    def should_refill(self, *, is_async: bool) -> bool:
        """Tell whether it is time for more jobs: none waits, or half of what may wait is gone."""
        room, lane = self.free(is_async=is_async), self._lanes[is_async]
        return room > 0 and (lane.count <= lane.places or room >= lane.count)

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs wait behind those that run."""
        return any(lane.count > lane.places for lane in self._lanes)

    def take(self, jobs: Sequence[ClaimedJob]) -> int:
        """Add jobs; return the number of the first, which the others follow."""
        first = self._next
        self._next += len(jobs)
        self.held.update(enumerate(jobs, first))
        for job in jobs:
            lane = self._lanes[job.is_async]
            if not lane.count:
                lane.changed_at = time.monotonic()
            lane.count += 1
            lane.tasks[job.task_path] += 1
        return first

    def settle(self, rows: Iterable[Row]) -> list[FinishedJob]:
        """Remove jobs that ended, and learn from them; return those of them that were held."""
        now = time.monotonic()
        ended: list[FinishedJob] = []
        times: dict[str, list[float]] = defaultdict(list)
        for number, outcome, seconds in rows:
            job = self.held.pop(number, None)
            if job is None:
                continue
            ended.append((job, Outcome._make(outcome)))
            lane = self._lanes[job.is_async]
            lane.count -= 1
            lane.changed_at = now
            lane.tasks[job.task_path] -= 1
            if not lane.tasks[job.task_path]:
                del lane.tasks[job.task_path]
            if seconds is not None:
                lane.is_stuck = False
                times[job.task_path].append(seconds)
        for path, known in times.items():
            self.run_times.learn(path, sum(known) / len(known), len(known))
        return ended

    def is_stuck(self, running: Iterable[tuple[int, float]], now: float) -> bool:
        """Tell whether jobs wait behind long ones; take none ahead there until one has ended.

        Args:
            running: number and start of the jobs that run, used to update the run times.
            now: monotonic clock.
        """
        lanes = [
            lane
            for lane in self._lanes
            if lane.count > lane.places and now - lane.changed_at > STUCK_TIMEOUT
        ]
        if not lanes:
            return False
        begun = [(self.held[number], since) for number, since in running if number in self.held]
        # What has ended since may not have been read: the engine itself may have stood still.
        stuck = [lane for lane in lanes if self._is_behind_long_ones(lane, begun, now)]
        for lane in stuck:
            lane.is_stuck, lane.changed_at = True, now
        for job, since in begun if stuck else ():
            self.run_times.learn(job.task_path, now - since)
        return bool(stuck)

    def _is_behind_long_ones(
        self, lane: _Lane, begun: Sequence[tuple[ClaimedJob, float]], now: float
    ) -> bool:
        times = [now - since for job, since in begun if self._lanes[job.is_async] is lane]
        return bool(times) and min(times) > STUCK_TIMEOUT
