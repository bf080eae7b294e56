"""The jobs that one process holds, and how many more it can take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob, FinishedJob
from offload.worker.pools.run_times import MAX_WAITING_SECONDS, RunTimes

STUCK_TIMEOUT = 0.2
"""Seconds without a finished job of a kind after which its waiting jobs are released."""

type Row = tuple[int, tuple[object, ...], float | None]
"""A job's number, its outcome, and its run time in seconds; None if it was not started."""


@dataclass(slots=True)
class _Kind:
    """The held jobs of one kind, sync or async.

    Attributes:
        slots: how many run at once.
        last_number: the number of the last one that was taken; 0 if none was.
        count: how many are held.
        tasks: how many of each task are held.
        changed_at: when the first one was taken or the last one finished (monotonic clock).
        is_stuck: whether no more jobs are taken ahead, as they would wait behind long ones.
    """

    slots: int
    last_number: int = 0
    count: int = 0
    tasks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed_at: float = 0.0
    is_stuck: bool = False

    @property
    def has_waiting(self) -> bool:
        """Whether some of the jobs wait for a slot."""
        return self.count > self.slots

    def is_overdue(self, now: float) -> bool:
        """Return whether jobs wait, and none has finished for STUCK_TIMEOUT."""
        return self.has_waiting and now - self.changed_at > STUCK_TIMEOUT


class Capacity:
    """The jobs that one process holds, by number, and how many more it can take.

    Short jobs are taken ahead of time and wait for a slot, so that a slot need not wait for the
    database.

    Args:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        run_times: how long tasks run; updated here.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        threads: int,
        async_slots: int,
        run_times: RunTimes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held: dict[int, ClaimedJob] = {}
        self.run_times = run_times
        self._clock = clock
        self._sync = _Kind(threads)
        self._async = _Kind(async_slots)
        self._next_number = 1

    def __len__(self) -> int:
        return len(self.held)

    def jobs(self, running: Iterable[tuple[int, float]]) -> list[ClaimedJob]:
        """Return the held ones among running jobs, given by number and start."""
        return [self.held[number] for number, _ in running if number in self.held]

    def free(self, *, is_async: bool) -> int:
        """Return how many more jobs can be taken: for free slots, and to wait for one."""
        kind = self._async if is_async else self._sync
        free_slots = max(kind.slots - kind.count, 0)
        if kind.is_stuck:
            return free_slots
        estimate = self.run_times.estimate
        held_seconds = sum(estimate(path) * count for path, count in kind.tasks.items())
        free_seconds = MAX_WAITING_SECONDS * kind.slots - held_seconds
        ahead = int(free_seconds / self.run_times.mean)
        return max(free_slots, min(ahead, self.run_times.max_waiting - kind.count))

    def should_refill(self, *, is_async: bool) -> bool:
        """Return True if no job waits for a slot, or half of those that may wait have started."""
        kind = self._async if is_async else self._sync
        free = self.free(is_async=is_async)
        return free > 0 and (not kind.has_waiting or free >= kind.count)

    def slots(self, *, is_async: bool) -> int:
        """Return how many jobs of a kind run at once."""
        return (self._async if is_async else self._sync).slots

    def last_number(self, *, is_async: bool) -> int:
        """Return the number of the job of a kind that was taken last; 0 if none was."""
        return (self._async if is_async else self._sync).last_number

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs wait for a slot."""
        return self._sync.has_waiting or self._async.has_waiting

    def take(self, jobs: Sequence[ClaimedJob]) -> int:
        """Add jobs and number them consecutively; return the number of the first."""
        first = self._next_number
        self._next_number += len(jobs)
        self.held.update(enumerate(jobs, first))
        for number, job in enumerate(jobs, first):
            kind = self._async if job.is_async else self._sync
            if not kind.count:
                kind.changed_at = self._clock()
            kind.last_number = number
            kind.count += 1
            kind.tasks[job.task_path] += 1
        return first

    def settle(self, rows: Iterable[Row]) -> list[FinishedJob]:
        """Remove finished and released jobs and record their run times.

        Returns:
            those of the jobs that were held, with their outcomes.
        """
        now = self._clock()
        settled: list[FinishedJob] = []
        run_times: dict[str, list[float]] = defaultdict(list)
        for number, outcome, seconds in rows:
            job = self.held.pop(number, None)
            if job is None:
                continue
            settled.append((job, Outcome._make(outcome)))
            kind = self._async if job.is_async else self._sync
            kind.count -= 1
            kind.changed_at = now
            kind.tasks[job.task_path] -= 1
            if not kind.tasks[job.task_path]:
                del kind.tasks[job.task_path]
            if seconds is not None:
                kind.is_stuck = False
                run_times[job.task_path].append(seconds)
        for path, times in run_times.items():
            self.run_times.record(path, sum(times) / len(times), len(times))
        return settled

    def detect_stuck(self, running: Iterable[tuple[int, float]]) -> list[bool]:
        """Return the kinds, by `is_async`, of which jobs wait behind long ones.

        No jobs are taken ahead of these kinds until one finishes, and the run times of the long
        jobs' tasks are recorded.

        Args:
            running: number and start (by the clock) of each running job.
        """
        now = self._clock()
        overdue = [kind for kind in (self._sync, self._async) if kind.is_overdue(now)]
        if not overdue:
            return []
        run_times = self._run_times_so_far(running, now)
        stuck = [kind for kind in overdue if self._runs_only_long_jobs(kind, run_times)]
        for kind in stuck:
            kind.is_stuck = True
            kind.changed_at = now
        if stuck:
            for job, seconds in run_times:
                self.run_times.record(job.task_path, seconds)
        return [kind is self._async for kind in stuck]

    def _run_times_so_far(
        self, running: Iterable[tuple[int, float]], now: float
    ) -> list[tuple[ClaimedJob, float]]:
        held = self.held
        return [(held[number], now - since) for number, since in running if number in held]

    def _runs_only_long_jobs(
        self, kind: _Kind, run_times: Sequence[tuple[ClaimedJob, float]]
    ) -> bool:
        """Return whether all slots run long jobs.

        If not, jobs have finished whose reports are unread: the worker's own loop was held up.
        """
        is_async = kind is self._async
        of_kind = [seconds for job, seconds in run_times if bool(job.is_async) is is_async]
        return min(of_kind, default=0.0) > STUCK_TIMEOUT
