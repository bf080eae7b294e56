"""The worker's side of a child process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import Outcome, released
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.child.channel import Channel, MessageKind
from offload.worker.child.main import main
from offload.worker.pools.base import (
    find_unresponsive,
    interrupted_outcome,
    unresponsive_outcome,
)
from offload.worker.pools.capacity import Capacity
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.waiting_jobs import START_TIMEOUT, WaitingJobs
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

CHECK_INTERVAL = 0.05
"""Seconds between two looks at what a child process does, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """The limits of one child process.

    Attributes:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        kill_grace_period: seconds that a job has to stop after an interruption.
        using: alias in DATABASES where the jobs are stored.
        max_jobs: finished jobs after which the child is replaced; None for no limit.
        max_memory: bytes of resident memory above which it is replaced; None for no limit.
    """

    threads: int
    async_slots: int
    kill_grace_period: float
    using: str
    max_jobs: int | None = None
    max_memory: int | None = None


class ChildProcess:
    """One child process, the jobs it holds, and whether it must be killed or replaced.

    Args:
        context: starts the process.
        limits: its limits.
        run_times: how long tasks run; shared by all children.
        progress: receives the progress of its jobs.
        shows_logs: whether it prints a line for each job's start and finish.
    """

    def __init__(
        self,
        context: ForkServerContext,
        limits: ChildLimits,
        run_times: RunTimes,
        progress: dict[ClaimKey, str],
        *,
        shows_logs: bool,
    ) -> None:
        self.is_ready = False
        self.is_retiring = False
        """Whether it gets no more jobs and is replaced."""
        self._capacity = Capacity(limits.threads, limits.async_slots, run_times)
        self._limits = limits
        self._progress = progress
        self._cancelled_at: dict[ClaimKey, float] = {}
        self._unresponsive: dict[ClaimKey, type[Interruption]] = {}
        """The jobs for which the process must be killed."""
        self._kill_at = 0.0
        self._check_at = 0.0
        self._settled: list[FinishedJob] = []
        """Jobs that were taken back, for the next `collect`."""
        self._finished = 0
        self._is_killed = False
        own_end, child_end = socket.socketpair()
        arguments = (child_end, limits.threads, limits.async_slots, limits.using, shows_logs)
        self.process = context.Process(target=main, args=arguments, name="offload-child")
        self.process.start()
        child_end.close()
        with tempfile.TemporaryFile() as memory:
            self._slots = SlotTable(limits.threads + limits.async_slots, memory.fileno())
            socket.send_fds(own_end, [b"m"], [memory.fileno()])
        self._waiting = {
            is_async: WaitingJobs(self._slots, self._capacity, is_async=is_async)
            for is_async in (False, True)
        }
        own_end.setblocking(False)  # noqa: FBT003
        self.channel = Channel(own_end)

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    @property
    def accepts_jobs(self) -> bool:
        return self.is_ready and not self.is_retiring and not self._unresponsive

    @property
    def is_exit_expected(self) -> bool:
        return self.is_retiring or self._is_killed

    @property
    def exit_description(self) -> str:
        """How the process exited, for log messages and errors."""
        code = self.process.exitcode
        if code is None:
            return "still running"
        if code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def capacity(self, *, is_async: bool) -> int:
        """Return how many more jobs of a kind it can take."""
        if not self.accepts_jobs or self._waiting[is_async].is_suspended:
            return 0
        free = self._capacity.free(is_async=is_async)
        if self._limits.max_jobs is None:
            return free
        jobs_left = self._limits.max_jobs - self._finished - len(self._capacity)
        return max(0, min(free, jobs_left))

    def should_refill(self, *, is_async: bool) -> bool:
        """Return True if it is time to submit more jobs of a kind."""
        if self.capacity(is_async=is_async) == 0:
            return False
        return self._capacity.should_refill(is_async=is_async)

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs wait here for a slot."""
        return self._capacity.is_backed_up

    def held_jobs(self) -> list[ClaimedJob]:
        """Return the jobs that have not finished."""
        return list(self._capacity.held.values())

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Send jobs to the child, in the order in which they should start."""
        if jobs:
            first = self._capacity.take(jobs)
            self.channel.send(MessageKind.RUN, first, list(map(tuple, jobs)))

    def collect(self) -> list[FinishedJob]:
        """Handle the child's messages; return the jobs that finished or were released."""
        settled, self._settled = self._settled, []
        for message in self.channel.receive() or ():
            settled += self._handle(message)
        if self._cancelled_at or self._unresponsive:
            for job, _ in settled:
                self._cancelled_at.pop(job.key, None)
                self._unresponsive.pop(job.key, None)
        return settled

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        """Interrupt jobs, if this child holds them."""
        held = {job.key for job in self._capacity.held.values()}
        new = held.intersection(keys) - self._cancelled_at.keys()
        if new:
            self._cancelled_at.update(dict.fromkeys(new, time.monotonic()))
            self.channel.send(MessageKind.CANCEL, list(new))

    def release_waiting(self) -> None:
        """Take back the jobs that have not started; `collect` returns them a moment later."""
        now = time.monotonic()
        for waiting in self._waiting.values():
            waiting.take_back(now)

    def announce_finished(self, finished: FinishedJob) -> None:
        """Send Django's `task_finished` in the child."""
        job, outcome = finished
        self.channel.send(MessageKind.ANNOUNCE_FINISHED, tuple(job), tuple(outcome))

    def enforce_limits(self, now: float) -> None:
        """Kill the process if a job does not stop; take back jobs that it does not start.

        Before the process is killed, its other jobs get the grace period to finish.
        """
        if now < self._check_at:
            return
        self._check_at = now + CHECK_INTERVAL
        self._find_unresponsive(now)
        if self._unresponsive and self._must_be_killed(now):
            self._kill()
        self._take_back_waiting(now)
        self._retire_if_used_up()

    def stop(self) -> None:
        """Stop the process, or kill it if it holds jobs."""
        self.is_retiring = True
        if self._capacity.held:
            self._kill()
        else:
            self.channel.send(MessageKind.STOP)

    def reap(self, *, reason: str, by_worker: bool = False) -> list[FinishedJob]:
        """Wait for the exit of a stopped or dead process, and return the jobs that it held.

        Args:
            reason: why it exited, for the errors of lost jobs.
            by_worker: whether the worker stopped it.
        """
        self.process.join(1.0)
        if self.process.is_alive():
            self._kill()
            self.process.join()
        finished = self.collect()
        by_worker = by_worker or self._is_killed
        rows = [
            (number, self._outcome_of_exit(number, job, reason, by_worker=by_worker), None)
            for number, job in self._capacity.held.items()
        ]
        finished += self._capacity.settle(rows)
        self.channel.close()
        return finished

    def _handle(self, message: tuple[Any, ...]) -> list[FinishedJob]:
        match message:
            case MessageKind.FINISHED, rows:
                self._finished += sum(seconds is not None for _, _, seconds in rows)
                return self._capacity.settle(rows)
            case MessageKind.PROGRESS, progress:
                self._progress |= progress
            case (MessageKind.READY,):
                self.is_ready = True
        return []

    def _outcome_of_exit(
        self, number: int, job: ClaimedJob, reason: str, *, by_worker: bool
    ) -> Outcome:
        if job.key in self._unresponsive:
            return unresponsive_outcome(job, self._unresponsive[job.key])
        if not self._slots.has_started(number, is_async=bool(job.is_async)):
            return released()
        if job.key in self._cancelled_at:
            return unresponsive_outcome(job, JobCancelled)
        if by_worker:
            return interrupted_outcome(job, reason)
        return lost_outcome(job, reason)

    def _find_unresponsive(self, now: float) -> None:
        unresponsive = find_unresponsive(
            self._capacity,
            self._slots.running(),
            self._cancelled_at,
            kill_grace_period=self._limits.kill_grace_period,
            now=now,
        )
        for _, job, kind in unresponsive:
            if not self._unresponsive:
                self._kill_at = now + self._limits.kill_grace_period
                self.release_waiting()
            self._unresponsive.setdefault(job.key, kind)

    def _take_back_waiting(self, now: float) -> None:
        """Take back jobs that wait behind long ones, or that the child does not start."""
        stuck = self._capacity.detect_stuck(self._slots.running())
        for is_async, waiting in self._waiting.items():
            if not waiting.is_suspended:
                seconds = waiting.seconds_stalled(now)
                if seconds > START_TIMEOUT:
                    logger.warning(
                        "Child process %s has started no job for %.1f s: other processes get"
                        " the jobs that wait for it.",
                        self.pid,
                        seconds,
                    )
                if is_async in stuck or seconds > START_TIMEOUT:
                    waiting.take_back(now)
            numbers = waiting.taken_back(now)
            self._settled += self._capacity.settle((n, released(), None) for n in numbers)

    def _must_be_killed(self, now: float) -> bool:
        holds_others = len(self._capacity) > len(self._unresponsive)
        return now > self._kill_at or not holds_others

    def _retire_if_used_up(self) -> None:
        if self.is_retiring:
            if not self._capacity.held:
                self.channel.send(MessageKind.STOP)
        elif self._is_used_up():
            self.is_retiring = True
            self.release_waiting()

    def _is_used_up(self) -> bool:
        max_jobs, max_memory = self._limits.max_jobs, self._limits.max_memory
        if max_jobs is not None and self._finished >= max_jobs:
            return True
        return max_memory is not None and _resident_bytes(self.pid) > max_memory

    def _kill(self) -> None:
        self._is_killed = True
        self.process.kill()


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
