"""Jobs run in child processes, so that a task cannot harm the worker's own process."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import batched
from typing import Any

from offload.lifecycle import JobState, released
from offload.store.records import ClaimedJob, ClaimKey, EndedJob, FinishedJob
from offload.worker.child.channel import MessageKind
from offload.worker.limits_in_code import LimitsInCode
from offload.worker.pools.base import Pool
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.child_process import ChildProcess
from offload.worker.pools.child_starts import ChildStarts
from offload.worker.pools.fork_server import fork_server
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.time_limits import REPLACE_TIMEOUT
from offload.worker.schedules_in_code import SchedulesInCode

logger = logging.getLogger("offload.worker")

MAX_ANNOUNCED = 1000
"""Jobs of workflows in one message to a child."""


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
        self._has_started_one = False
        self._finished: list[FinishedJob] = []
        self._last_chances: deque[ClaimedJob] = deque()
        """Jobs that wait for a process of their own."""
        self._unannounced: deque[tuple[Any, ...]] = deque()
        """Messages to any child, for the signals of jobs that finished elsewhere."""
        self._progress: dict[ClaimKey, str] = {}
        self._limits_of_dead = LimitsInCode()
        """The limits of the tasks that dead children had loaded."""
        self._starts = ChildStarts()
        self._is_stopped = False

    def start(self) -> None:
        fork_server.start()
        self._start_missing()

    def limits_in_code(self) -> LimitsInCode:
        limits = fork_server.limits_in_code.merged_with(self._limits_of_dead)
        for child in self._children:
            limits = limits.merged_with(child.limits_in_code)
        return limits

    def schedules_in_code(self) -> SchedulesInCode | None:
        return fork_server.schedules_in_code

    def descriptors(self) -> tuple[list[int], list[int]]:
        readers = self._starts.descriptors()
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
        return max(0, self._limited_to_slots(total, is_async=is_async) - len(self._last_chances))

    def slots(self, *, is_async: bool) -> int:
        return self.processes * (self._limits.async_slots if is_async else self._limits.threads)

    def free_slots(self, *, is_async: bool) -> int:
        free = sum(child.free_slots(is_async=is_async) for child in self._children)
        return max(0, self._limited_to_slots(free, is_async=is_async) - len(self._last_chances))

    def should_refill(self, *, is_async: bool) -> bool:
        if self._last_chances and not self.capacity(is_async=is_async):
            return False
        return any(child.should_refill(is_async=is_async) for child in self._children)

    @property
    def is_backed_up(self) -> bool:
        return any(child.jobs.capacity.is_backed_up for child in self._children)

    @property
    def linger(self) -> float:
        capacities = (child.jobs.capacity for child in self._children)
        return min((c.linger for c in capacities if c.is_backed_up), default=0.0)

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
        if self._unannounced:  # a child may have become ready
            self._announce()
        finished, self._finished = self._finished, []
        return finished

    def progress(self) -> dict[ClaimKey, str]:
        progress = self._progress.copy()
        self._progress.clear()
        return progress

    def enforce_limits(self) -> None:
        now = time.monotonic()
        self._add_started(now)
        for child in list(self._children):
            if child.process.is_alive():
                child.enforce_limits(now)
            else:
                self._remove_dead(child)
        self._replace_stalled()
        self._run_last_chances()
        if not self._is_stopped:
            self._start_missing()

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        self._release_last_chances({job.key for job in self._last_chances}.intersection(keys))
        for child in self._children:
            child.cancel(keys)

    def release_waiting(self) -> None:
        self._release_last_chances({job.key for job in self._last_chances})
        for child in self._children:
            child.jobs.release_waiting()

    def announce_finished(self, finished: Sequence[FinishedJob]) -> None:
        """Send the signal in a child, maybe a later one: the worker runs no user code."""
        for job, outcome in finished:
            self._unannounced.append((MessageKind.ANNOUNCE_FINISHED, tuple(job), tuple(outcome)))
        self._announce()

    def announce_ended(self, ended: Sequence[EndedJob]) -> None:
        """Let a child send the signals, as `announce_finished` does."""
        for batch in batched(map(tuple, ended), MAX_ANNOUNCED):
            self._unannounced.append((MessageKind.ANNOUNCE_ENDED, list(batch)))
        self._announce()

    @property
    def is_announcing(self) -> bool:
        return bool(self._unannounced)

    def held_jobs(self) -> list[ClaimedJob]:
        held = [job for child in self._children for job in child.jobs.held]
        return [*held, *self._last_chances]

    @property
    def is_empty(self) -> bool:
        has_jobs = any(child.jobs.capacity.held for child in self._children)
        return not (has_jobs or self._last_chances)

    def running_jobs(self) -> list[ClaimedJob]:
        return [job for child in self._children for job in child.jobs.running]

    def held_up_jobs(self) -> list[ClaimedJob]:
        return [job for child in self._children for job in child.held_up_jobs]

    def stop(self) -> None:
        self._is_stopped = True
        self._starts.stop()
        self._release_last_chances({job.key for job in self._last_chances})
        self._announce(is_last=True)
        for child in self._children:
            child.stop()
        for child in self._children:
            self._finished += child.reap(reason="the worker was stopped", by_worker=True)
        self._children.clear()

    def _limited_to_slots(self, count: int, *, is_async: bool) -> int:
        """Return how many of so many jobs may run beside those of processes at a limit.

        Such a process runs its last jobs, and another has taken its place: together they run as
        many jobs at once as one. Meanwhile no jobs are taken ahead, which the second would start.
        """
        usual = [child for child in self._children if not child.runs_one_job]
        if not any(child.is_used_up for child in usual):
            return count
        held = sum(child.jobs.capacity.count(is_async=is_async) for child in usual)
        return min(count, self.slots(is_async=is_async) - held)

    def _distribute(self, jobs: list[ClaimedJob], *, is_async: bool) -> None:
        if not self._children:  # the last one died after the claim
            self._finished += [(job, released()) for job in jobs]
            return
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
        requested = self._starts.count(runs_one_job=True)
        starting = sum(not child.is_ready for child in alone) + requested
        has_room = len(alone) + requested < self.processes * self.threads
        if len(self._last_chances) > starting and has_room:
            self._starts.request(1, runs_one_job=True)

    def _release_last_chances(self, keys: AbstractSet[ClaimKey]) -> None:
        self._finished += [(job, released()) for job in self._last_chances if job.key in keys]
        self._last_chances = deque(job for job in self._last_chances if job.key not in keys)

    def _announce(self, *, is_last: bool = False) -> None:
        """Pass the messages to a child that responds; at the end, to one that may still respond."""
        for child in self._children:
            if child.accepts_jobs and (is_last or not child.jobs.seconds_stalled):
                while self._unannounced:
                    child.announce(self._unannounced.popleft())
                return

    def _replace_stalled(self) -> None:
        """Replace children that start no more jobs; they exit after their running ones.

        As many of them may remain as the pool has processes, so that jobs which block their
        process cannot fill the machine with processes.
        """
        retiring = sum(child.is_retiring for child in self._children)
        for child in self._children:
            is_stalled = child.jobs.seconds_stalled > REPLACE_TIMEOUT
            if is_stalled and not child.is_retiring and retiring < self.processes:
                logger.warning("Child process %s starts no more jobs, and is replaced.", child.pid)
                child.retire()
                retiring += 1

    def _start_missing(self) -> None:
        """Start processes in the places of those that are gone, or that finish their last jobs.

        These may be as many as the pool has processes, so that limits which let a process run few
        jobs cannot fill the machine with processes.
        """
        usual = [child for child in self._children if not child.runs_one_job]
        working = sum(not child.is_retiring for child in usual)
        requested = self._starts.count(runs_one_job=False)
        missing = self.processes - working - requested
        self._starts.request(min(missing, 2 * self.processes - len(usual) - requested))

    def _add_started(self, now: float) -> None:
        """Add the processes that the fork server has forked."""
        for process, runs_one_job in self._starts.take_started(now):
            child = ChildProcess(
                process,
                replace(self._limits, is_first=not self._has_started_one),
                self._run_times,
                self._progress,
                shows_logs=self._shows_logs,
                runs_one_job=runs_one_job,
            )
            self._has_started_one = True
            self._children.append(child)

    def _remove_dead(self, child: ChildProcess) -> None:
        """Return the jobs of a child that has exited to their queues."""
        self._finished += child.collect()
        self._children.remove(child)
        self._limits_of_dead = self._limits_of_dead.merged_with(child.limits_in_code)
        if not child.is_ready:
            self._starts.delay(child.exit_description)
        else:
            self._starts.reset_delay()
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
