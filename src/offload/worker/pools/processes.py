"""Jobs run in child processes, so that a task cannot harm the worker's own process."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from offload.lifecycle import JobState, released
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.child.project import ProjectError
from offload.worker.pools.base import Pool
from offload.worker.pools.child_process import ChildLimits, ChildProcess
from offload.worker.pools.fork_server import fork_server
from offload.worker.pools.run_times import RunTimes

logger = logging.getLogger("offload.worker")

MAX_RESTART_DELAY = 60.0
"""Seconds between two tries to start a child process, at most."""
REPLACE_TIMEOUT = 5.0
"""Seconds after which a child is replaced that could start jobs and does not."""
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
        self._children: list[ChildProcess] = []
        self._finished: list[FinishedJob] = []
        self._last_chances: deque[ClaimedJob] = deque()
        """Jobs that wait for a process of their own."""
        self._unannounced: deque[FinishedJob] = deque()
        self._progress: dict[ClaimKey, str] = {}
        self._failed_starts = 0
        self._restart_at = 0.0
        self._is_stopped = False

    def start(self) -> None:
        fork_server.start()
        self._start_missing()

    def descriptors(self) -> tuple[list[int], list[int]]:
        readers: list[int] = []
        writers: list[int] = []
        for child in self._children:
            readers.append(child.process.sentinel)
            if not child.channel.is_closed:  # which would be readable all the time
                readers.append(child.channel.fileno())
                if child.channel.has_unsent:
                    writers.append(child.channel.fileno())
        return readers, writers

    def capacity(self, *, is_async: bool) -> int:
        total = sum(child.capacity(is_async=is_async) for child in self._children)
        return max(0, total - len(self._last_chances))

    def should_refill(self, *, is_async: bool) -> bool:
        if self._last_chances and not self.capacity(is_async=is_async):
            return False
        return any(child.should_refill(is_async=is_async) for child in self._children)

    @property
    def is_backed_up(self) -> bool:
        return any(child.is_backed_up for child in self._children)

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Distribute jobs, the most urgent ones to the children with the most capacity."""
        if any(job.worker_losses for job in jobs):
            self._last_chances += filter(_has_last_chance, jobs)
            jobs = [job for job in jobs if not _has_last_chance(job)]
            self._run_last_chances()
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
        self._replace_stalled()
        self._run_last_chances()
        if not self._is_stopped and now >= self._restart_at:
            self._start_missing()
        if self._unannounced:
            self._announce()

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        self._release_last_chances({job.key for job in self._last_chances}.intersection(keys))
        for child in self._children:
            child.cancel(keys)

    def release_waiting(self) -> None:
        self._release_last_chances({job.key for job in self._last_chances})
        for child in self._children:
            child.release_waiting()

    def announce_finished(self, finished: Sequence[FinishedJob]) -> None:
        """Send the signal in a child, maybe a later one: the worker runs no user code."""
        self._unannounced += finished
        self._announce()

    def held_jobs(self) -> list[ClaimedJob]:
        held = [job for child in self._children for job in child.held_jobs()]
        return [*held, *self._last_chances]

    def running_jobs(self) -> list[ClaimedJob]:
        return [job for child in self._children for job in child.running_jobs()]

    def stop(self) -> None:
        self._is_stopped = True
        self._release_last_chances({job.key for job in self._last_chances})
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

    def _run_last_chances(self) -> None:
        """Run the jobs that have a last chance, each alone in a process beside the usual ones.

        As many of them run at once as would in threads of the usual processes.
        """
        alone = [child for child in self._children if child.runs_one_job]
        for child in alone:
            if child.is_idle and self._last_chances:
                child.submit([self._last_chances.popleft()])
            elif child.is_idle:
                child.retire()
        starting = sum(not child.is_ready for child in alone)
        if len(self._last_chances) > starting and len(alone) < self.processes * self.threads:
            self._start_child(runs_one_job=True)

    def _release_last_chances(self, keys: AbstractSet[ClaimKey]) -> None:
        self._finished += [(job, released()) for job in self._last_chances if job.key in keys]
        self._last_chances = deque(job for job in self._last_chances if job.key not in keys)

    def _announce(self) -> None:
        for child in self._children:
            if child.accepts_jobs and not child.seconds_stalled:
                while self._unannounced:
                    child.announce_finished(self._unannounced.popleft())
                return

    def _replace_stalled(self) -> None:
        """Replace children that start no more jobs; they exit after their running ones.

        As many of them may remain as the pool has processes, so that jobs which block their
        process cannot fill the machine with processes.
        """
        retiring = sum(child.is_retiring for child in self._children)
        for child in self._children:
            is_stalled = child.seconds_stalled > REPLACE_TIMEOUT
            if is_stalled and not child.is_retiring and retiring < self.processes:
                logger.warning("Child process %s starts no more jobs, and is replaced.", child.pid)
                child.retire()
                retiring += 1

    def _start_missing(self) -> None:
        working = [
            child for child in self._children if not child.is_retiring and not child.runs_one_job
        ]
        for _ in range(self.processes - len(working)):
            if not self._start_child():
                return

    def _start_child(self, *, runs_one_job: bool = False) -> bool:
        """Start a child process; return False, and try again later, if that fails."""
        try:
            child = ChildProcess(
                fork_server,
                self._limits,
                self._run_times,
                self._progress,
                shows_logs=self._shows_logs,
            )
        except (OSError, ProjectError) as error:
            self._delay_restart(f"{type(error).__name__}: {error}")
            return False
        child.runs_one_job = runs_one_job
        self._children.append(child)
        return True

    def _delay_restart(self, reason: str) -> None:
        """Double the delay before the next try to start a child process."""
        self._failed_starts += 1
        delay = min(MAX_RESTART_DELAY, 2.0 ** min(self._failed_starts - 1, MAX_DOUBLINGS))
        self._restart_at = time.monotonic() + delay
        logger.error("A child process could not start (%s). Trying again in %.0f s.", reason, delay)

    def _remove_dead(self, child: ChildProcess) -> None:
        """Return the jobs of a child that has exited to their queues."""
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


def _has_last_chance(job: ClaimedJob) -> bool:
    """Return whether the job fails if its process dies once more.

    It runs alone, so that it does not fail because of another job that killed the process.
    """
    return 0 < job.max_worker_losses <= job.worker_losses
