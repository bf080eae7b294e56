"""Jobs run in child processes, so that a task cannot harm the worker's own process."""

from __future__ import annotations

import logging
import math
import multiprocessing
import time
from collections import deque
from collections.abc import Sequence

from offload.lifecycle import JobState
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.pools.base import Pool
from offload.worker.pools.child_process import ChildLimits, ChildProcess
from offload.worker.pools.run_times import RunTimes

logger = logging.getLogger("offload.worker")

MAX_RESTART_DELAY = 60.0
"""Seconds between two tries to start a child process, at most."""
MAX_DOUBLINGS = 6
"""Doublings of the delay until it is longer than MAX_RESTART_DELAY."""


class ProcessPool(Pool):
    """Runs jobs in child processes.

    Args:
        processes: the number of child processes.
        limits: the limits of each of them.
        shows_logs: whether they print a line for each job's start and finish.
    """

    def __init__(self, *, processes: int, limits: ChildLimits, shows_logs: bool = False) -> None:
        self.processes = processes
        self.threads = limits.threads
        self._limits = limits
        self._shows_logs = shows_logs
        self._run_times = RunTimes()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["offload.worker.child.preload"])
        self._children: list[ChildProcess] = []
        self._finished: list[FinishedJob] = []
        self._unannounced: deque[FinishedJob] = deque()
        self._progress: dict[ClaimKey, str] = {}
        self._failed_starts = 0
        self._restart_at = 0.0
        self._is_stopped = False

    def start(self) -> None:
        self._start_missing()

    def descriptors(self) -> tuple[list[int], list[int]]:
        readers: list[int] = []
        writers: list[int] = []
        for child in self._children:
            channel = child.channel.fileno()
            readers += (channel, child.process.sentinel)
            if child.channel.has_unsent:
                writers.append(channel)
        return readers, writers

    def capacity(self, *, is_async: bool) -> int:
        return sum(child.capacity(is_async=is_async) for child in self._children)

    def should_refill(self, *, is_async: bool) -> bool:
        return any(child.should_refill(is_async=is_async) for child in self._children)

    @property
    def is_backed_up(self) -> bool:
        return any(child.is_backed_up for child in self._children)

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Distribute jobs, the most urgent ones to the children with the most capacity."""
        self._distribute([job for job in jobs if not job.is_async], is_async=False)
        self._distribute([job for job in jobs if job.is_async], is_async=True)

    def collect(self) -> list[FinishedJob]:
        for child in self._children:
            child.channel.flush()
            self._finished += child.collect()
        finished, self._finished = self._finished, []
        return finished

    def progress(self) -> dict[ClaimKey, str]:
        progress = self._progress.copy()
        self._progress.clear()
        return progress

    def enforce_limits(self) -> None:
        now = time.monotonic()
        for child in list(self._children):
            if child.process.is_alive():
                child.enforce_limits(now)
            else:
                self._remove_dead(child)
        if not self._is_stopped and now >= self._restart_at:
            self._start_missing()
        if self._unannounced:
            self._announce()

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        for child in self._children:
            child.cancel(keys)

    def release_waiting(self) -> None:
        for child in self._children:
            child.release_waiting()

    def announce_finished(self, finished: Sequence[FinishedJob]) -> None:
        """Send the signal in a child, maybe a later one: the worker runs no user code."""
        self._unannounced += finished
        self._announce()

    def held_jobs(self) -> list[ClaimedJob]:
        return [job for child in self._children for job in child.held_jobs()]

    def stop(self) -> None:
        self._is_stopped = True
        for child in self._children:
            child.stop()
        for child in self._children:
            self._finished += child.reap(reason="the worker was stopped", by_worker=True)
        self._children.clear()

    def _distribute(self, jobs: list[ClaimedJob], *, is_async: bool) -> None:
        while jobs:
            children = self._children_by_capacity(is_async=is_async)
            share = math.ceil(len(jobs) / len(children))
            for child in children:
                count = max(1, min(share, child.capacity(is_async=is_async)))
                child.submit(jobs[:count])
                jobs = jobs[count:]

    def _children_by_capacity(self, *, is_async: bool) -> list[ChildProcess]:
        """Return the children with capacity, most first; others if those died after the claim."""
        capacities: dict[ChildProcess, int] = {}
        for child in self._children:
            capacity = child.capacity(is_async=is_async)
            if capacity > 0:
                capacities[child] = capacity
        if capacities:
            return sorted(capacities, key=capacities.__getitem__, reverse=True)
        accepting = [child for child in self._children if child.accepts_jobs]
        return accepting or self._children

    def _announce(self) -> None:
        for child in self._children:
            if child.accepts_jobs:
                while self._unannounced:
                    child.announce_finished(self._unannounced.popleft())
                return

    def _start_missing(self) -> None:
        working = [child for child in self._children if not child.is_retiring]
        for _ in range(self.processes - len(working)):
            if not self._start_child():
                return

    def _start_child(self) -> bool:
        """Start a child process; return False, and try again later, if that fails."""
        try:
            child = ChildProcess(
                self._context,
                self._limits,
                self._run_times,
                self._progress,
                shows_logs=self._shows_logs,
            )
        except (OSError, EOFError) as error:
            self._delay_restart(f"{type(error).__name__}: {error}")
            return False
        self._children.append(child)
        return True

    def _delay_restart(self, reason: str) -> None:
        """Double the delay before the next try to start a child process."""
        self._failed_starts += 1
        delay = min(MAX_RESTART_DELAY, 2.0 ** min(self._failed_starts - 1, MAX_DOUBLINGS))
        self._restart_at = time.monotonic() + delay
        logger.error("A child process could not start (%s). Trying again in %.0f s.", reason, delay)

    def _remove_dead(self, child: ChildProcess) -> None:
        """Take back the jobs of a child that has exited."""
        self._finished += child.collect()
        self._children.remove(child)
        if not child.is_ready:
            self._delay_restart(child.exit_description)
        else:
            self._failed_starts = 0
            if not child.is_exit_expected:
                logger.warning("Child process %s died: %s.", child.pid, child.exit_description)
        taken_back = child.reap(reason=f"its process died: {child.exit_description}")
        self._finished += taken_back
        self.announce_finished(
            [(job, outcome) for job, outcome in taken_back if JobState(outcome.state).is_finished]
        )
