"""The jobs that one process holds, and how many more it can take."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob, FinishedJob
from offload.worker.pools.run_times import MAX_SECONDS_TO_START, MAX_WAITING_SECONDS, RunTimes

STUCK_TIMEOUT = 0.2
"""Seconds without a finished job of a kind after which its waiting jobs are released."""

MAX_SYNC_LINGER = 0.005
"""Seconds that outcomes wait for others at most, while enough jobs wait for a thread."""
MAX_ASYNC_LINGER = 0.02
"""The same while enough jobs wait for the event loop, which runs others if none waits."""
FLOW_SECONDS = 0.1
"""Seconds after which a finished job counts only a third in the rate of finished jobs."""

type Row = tuple[int, tuple[object, ...], float | None]
"""A job's number, its outcome, and its run time in seconds; None if it was not started."""


@dataclass(slots=True)
class _Kind:
    """The held jobs of one kind, sync or async.

    Attributes:
        slots: how many run at once.
        max_linger: seconds that outcomes wait for others at most, while jobs wait for a slot.
        last_number: the number of the last one that was taken; 0 if none was.
        count: how many are held.
        tasks: how many of each task are held.
        changed_at: when the first one was taken or the last one finished (monotonic clock).
        flow: how many have finished up to `flow_at`; the earlier, the less each counts.
        is_stuck: whether no more jobs are taken ahead, as they would wait behind long ones.
    """

    slots: int
    max_linger: float
    last_number: int = 0
    count: int = 0
    tasks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed_at: float = 0.0
    flow: float = 0.0
    flow_at: float = 0.0
    is_stuck: bool = False

    @property
    def waiting(self) -> int:
        """How many of the jobs wait for a slot."""
        return max(self.count - self.slots, 0)

    def count_finished(self, count: int, now: float) -> None:
        """Count jobs that have finished just now."""
        self.flow = self.finished_per_second(now) * FLOW_SECONDS + count
        self.flow_at = now

    def finished_per_second(self, now: float) -> float:
        """Return how many jobs have finished per second of late."""
        return self.flow / FLOW_SECONDS * math.exp((self.flow_at - now) / FLOW_SECONDS)

    def is_overdue(self, now: float) -> bool:
        """Return whether jobs wait, and none has finished for STUCK_TIMEOUT."""
        return self.waiting > 0 and now - self.changed_at > STUCK_TIMEOUT


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
        self._sync = _Kind(threads, MAX_SYNC_LINGER)
        self._async = _Kind(async_slots, MAX_ASYNC_LINGER)
        self._next_number = 1

    def __len__(self) -> int:
        return len(self.held)

    def jobs(self, running: Iterable[tuple[int, float]]) -> list[ClaimedJob]:
        """Return the held ones among running jobs, given by number and start."""
        return [self.held[number] for number, _ in running if number in self.held]

    def free(self, *, is_async: bool) -> int:
        """Return how many more jobs can be taken: for free slots, and to wait for one."""
        kind = self._async if is_async else self._sync
        free_slots = self.free_slots(is_async=is_async)
        if kind.is_stuck:
            return free_slots
        held_seconds = self._held_seconds(kind)
        free_seconds = MAX_WAITING_SECONDS * kind.slots - held_seconds
        ahead = int(free_seconds / self.run_times.mean)
        if is_async and held_seconds:
            expected = kind.slots * kind.count / held_seconds
            per_second = min(expected, kind.finished_per_second(self._clock()))
            ahead = max(ahead, free_slots + int(MAX_SECONDS_TO_START * per_second) - kind.waiting)
        return max(free_slots, min(ahead, self.run_times.max_waiting - kind.count))

    def free_slots(self, *, is_async: bool) -> int:
        """Return how many more jobs can start at once."""
        kind = self._async if is_async else self._sync
        return max(kind.slots - kind.count, 0)

    def should_refill(self, *, is_async: bool) -> bool:
        """Return True if at least as many jobs can be taken as wait for a slot here."""
        kind = self._async if is_async else self._sync
        return self.free(is_async=is_async) >= max(kind.waiting, 1)

    def slots(self, *, is_async: bool) -> int:
        """Return how many jobs of a kind run at once."""
        return (self._async if is_async else self._sync).slots

    def count(self, *, is_async: bool) -> int:
        """Return how many jobs of a kind are held."""
        return (self._async if is_async else self._sync).count

    @property
    def next_number(self) -> int:
        """The number of the job that is taken next."""
        return self._next_number

    def last_number(self, *, is_async: bool) -> int:
        """Return the number of the job of a kind that was taken last; 0 if none was."""
        return (self._async if is_async else self._sync).last_number

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs wait for a slot."""
        return self._sync.waiting > 0 or self._async.waiting > 0

    @property
    def linger(self) -> float:
        """Seconds that outcomes may wait for others; 0 if no job waits for a slot.

        At most half of the time until none waits any more, as some have started by now.
        """
        return min(
            (
                min(kind.max_linger, self._seconds_to_empty(kind) / 2)
                for kind in (self._sync, self._async)
                if kind.waiting
            ),
            default=0.0,
        )

    @property
    def ends_soon(self) -> bool:
        """Whether sync jobs are held, and all of them are expected to end in a moment."""
        seconds = self._held_seconds(self._sync) / self._sync.slots
        return 0 < self._sync.count == len(self.held) and seconds <= MAX_WAITING_SECONDS

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
        self._async.count_finished(sum(bool(job.is_async) for job, _ in settled), now)
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

    def _held_seconds(self, kind: _Kind) -> float:
        estimate = self.run_times.estimate
        return sum(estimate(path) * count for path, count in kind.tasks.items())

    def _seconds_to_empty(self, kind: _Kind) -> float:
        """Return the estimated seconds until no job of a kind waits for a slot."""
        return self._held_seconds(kind) * kind.waiting / kind.count / kind.slots

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
