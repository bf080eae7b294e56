"""The worker's side of a child process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import Outcome, released
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.child.channel import Channel, MalformedMessage, MessageKind
from offload.worker.child.main import ChildOptions, send_options
from offload.worker.pools.base import (
    find_unresponsive,
    interrupted_outcome,
    unresponsive_outcome,
)
from offload.worker.pools.capacity import Capacity
from offload.worker.pools.child_health import ChildHealth, Stopwatch
from offload.worker.pools.child_messages import MessageReader
from offload.worker.pools.fork_server import ForkServer
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.waiting_jobs import WaitingJobs
from offload.worker.runners.slot_table import SlotTable, create_shared_memory

logger = logging.getLogger("offload.worker")

STOP_TIMEOUT = 1.0
"""Seconds in which a process exits after STOP, in addition to the kill grace period."""
KILL_TIMEOUT = 5.0
"""Seconds that the worker waits at its end for the exit of a process that it has killed."""
CHECK_INTERVAL = 0.05
"""Seconds between two looks at what a child process does, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """The limits of one child process.

    Attributes:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        async_threads: threads for their sync code.
        kill_grace_period: seconds that a job has to stop after an interruption, and the exit
            handlers of the process at its end.
        using: alias in DATABASES where the jobs are stored.
        lease: seconds for which a signal may stop the process, before it is killed.
        max_jobs: finished jobs after which the child is replaced; None for no limit.
        max_memory: bytes of resident memory above which it is replaced; None for no limit.
    """

    threads: int
    async_slots: int
    async_threads: int
    kill_grace_period: float
    using: str
    lease: float
    max_jobs: int | None = None
    max_memory: int | None = None


class ChildProcess:
    """One child process, the jobs it holds, and whether it must be killed or replaced.

    Args:
        server: forks the process.
        limits: its limits.
        run_times: how long tasks run; shared by all children.
        progress: receives the progress of its jobs.
        shows_logs: whether it prints a line for each job's start and finish.
    """

    is_ready = False
    is_retiring = False
    """Whether it gets no more jobs and is replaced."""
    runs_one_job = False
    """Whether the pool submits one job at a time, and nothing else runs here."""
    seconds_stalled = 0.0
    """For how long it has a free slot and has not reached the jobs that were taken back."""
    _check_at = 0.0
    _kill_at = 0.0
    _is_killed = False
    _fault: str | None = None
    """Why it was killed, if it misbehaved."""
    _stop_sent_at: float | None = None
    _finished = 0
    """How many jobs have run."""

    def __init__(
        self,
        server: ForkServer,
        limits: ChildLimits,
        run_times: RunTimes,
        progress: dict[ClaimKey, str],
        *,
        shows_logs: bool,
    ) -> None:
        self._capacity = Capacity(limits.threads, limits.async_slots, run_times)
        self._limits = limits
        self._progress = progress
        self._cancelled_at: dict[ClaimKey, float] = {}
        self._unresponsive: dict[ClaimKey, type[Interruption]] = {}
        """The jobs for which the process must be killed."""
        self._settled: list[FinishedJob] = []
        """Jobs that were taken back, for the next `collect`."""
        own_end, child_end = socket.socketpair()
        with child_end:
            self.process = server.fork(child_end)
        options = ChildOptions(
            limits.threads,
            limits.async_slots,
            limits.async_threads,
            limits.using,
            limits.kill_grace_period,
            shows_logs,
        )
        memory = create_shared_memory()
        self._slots = SlotTable(limits.threads + limits.async_slots, memory)
        send_options(own_end, options, memory)
        os.close(memory)
        self._waiting = {
            is_async: WaitingJobs(
                self._slots, self._capacity, is_async=is_async, process=f"Child process {self.pid}"
            )
            for is_async in (False, True)
        }
        self._health = ChildHealth(self.pid, limits.lease)
        self._stalled = Stopwatch()
        own_end.setblocking(False)  # noqa: FBT003
        self.channel = Channel(own_end)
        self._reader = MessageReader(self.channel, self._slots)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def accepts_jobs(self) -> bool:
        return self._is_usable and not self.runs_one_job and not self._unresponsive

    @property
    def is_idle(self) -> bool:
        """Whether it could run jobs and has none."""
        return self._is_usable and not self._capacity.held

    @property
    def _is_usable(self) -> bool:
        return self.is_ready and not self.is_retiring and self._fault is None

    @property
    def is_exit_expected(self) -> bool:
        return self.is_retiring or self._is_killed or self._fault is not None

    @property
    def exit_description(self) -> str:
        """How the process exited, for log messages and errors."""
        if self._fault is not None:
            return f"killed because {self._fault}"
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

    def running_jobs(self) -> list[ClaimedJob]:
        """Return the jobs that have started and not finished."""
        return self._capacity.jobs(self._slots.running())

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Send jobs to the child, in the order in which they should start."""
        if jobs:
            first = self._capacity.take(jobs)
            self.channel.send(MessageKind.RUN, first, list(map(tuple, jobs)))

    def collect(self) -> list[FinishedJob]:
        """Handle the child's messages; return the jobs that finished or were released."""
        settled, self._settled = self._settled, []
        try:
            for message in self._reader.read() if self._fault is None else ():
                settled += self._handle(message)
        except MalformedMessage as error:
            self._kill_because(f"it sent {error}")
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
        fault = self._health.find_fault(
            now, is_ready=self.is_ready, is_closed=self.channel.is_closed
        )
        if fault is not None:
            self._kill_because(fault)
        self._retire_if_used_up()
        self._stop_if_retired(now)

    def retire(self) -> None:
        """Accept no more jobs, and exit after the running ones."""
        self.is_retiring = True
        self.release_waiting()

    def stop(self) -> None:
        """Stop the process, or kill it if it holds jobs."""
        self.is_retiring = True
        if self._capacity.held:
            self._kill()
        else:
            self._stop_if_retired(time.monotonic())

    def reap(self, *, reason: str, by_worker: bool = False) -> list[FinishedJob]:
        """Wait for the exit of a stopped or dead process, and return the jobs that it held.

        Args:
            reason: why it exited, for the errors of lost jobs.
            by_worker: whether the worker stopped it.
        """
        self.process.join(1.0 + (self._limits.kill_grace_period if self.is_ready else 0.0))
        if self.process.is_alive():
            self._kill()
            self.process.join(KILL_TIMEOUT)
        if self.process.exitcode == -signal.SIGALRM:
            logger.warning("The exit handlers of child process %s took too long.", self.pid)
        finished = self.collect()
        by_worker = by_worker or self._is_killed
        rows = [
            (number, self._outcome_of_exit(number, job, reason, by_worker=by_worker), None)
            for number, job in self._capacity.held.items()
        ]
        finished += self._capacity.settle(rows)
        self.channel.close()
        self.process.close()
        return finished

    def _handle(self, message: tuple[Any, ...]) -> list[FinishedJob]:
        match message:
            case MessageKind.FINISHED, rows:
                self._finished += sum(seconds is not None for _, _, seconds in rows)
                return self._capacity.settle(rows)
            case MessageKind.PROGRESS, progress:
                held = {job.key for job in self._capacity.held.values()}
                self._progress |= {key: progress[key] for key in held & progress.keys()}
            case (MessageKind.READY,):
                self.is_ready = True
            case (MessageKind.EXHAUSTED,):
                logger.warning(
                    "Child process %s has hardly any file descriptors left, and is replaced.",
                    self.pid,
                )
                self.retire()
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
            numbers = waiting.step(now, is_stuck=is_async in stuck)
            self._settled += self._capacity.settle((n, released(), None) for n in numbers)
        is_stalled = any(waiting.is_stalled for waiting in self._waiting.values())
        self.seconds_stalled = self._stalled.seconds(now, is_true=is_stalled)

    def _must_be_killed(self, now: float) -> bool:
        holds_others = len(self._capacity) > len(self._unresponsive)
        return now > self._kill_at or not holds_others

    def _retire_if_used_up(self) -> None:
        if not self.is_retiring and self._is_used_up():
            self.retire()

    def _stop_if_retired(self, now: float) -> None:
        """Send STOP once no job is left; kill a process that does not react to it."""
        if not self.is_retiring or self._capacity.held:
            return
        if self._stop_sent_at is None:
            self._stop_sent_at = now
            self.channel.send(MessageKind.STOP)
        elif now > self._stop_sent_at + self._limits.kill_grace_period + STOP_TIMEOUT:
            self._kill()

    def _is_used_up(self) -> bool:
        max_jobs, max_memory = self._limits.max_jobs, self._limits.max_memory
        if max_jobs is not None and self._finished >= max_jobs:
            return True
        return max_memory is not None and _resident_bytes(self.pid) > max_memory

    def _kill_because(self, fault: str) -> None:
        """Kill a process that misbehaves; its running jobs count as lost."""
        if self._fault is None:
            self._fault = fault
            self.channel.is_closed = True  # nothing that it sends can be trusted any more
            logger.error("Killing child process %s, because %s.", self.pid, fault)
            self.process.kill()

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
