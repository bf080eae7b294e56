"""The worker's side of a child process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any

from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.child.channel import Channel, MalformedMessage, MessageKind
from offload.worker.child.main import ChildOptions, send_options
from offload.worker.limits_in_code import LimitsInCode
from offload.worker.pools.capacity import Capacity, Row
from offload.worker.pools.child_health import ChildHealth
from offload.worker.pools.child_jobs import ChildJobs
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.child_memory import ChildMemory
from offload.worker.pools.child_messages import MessageReader
from offload.worker.pools.child_pings import ChildPings
from offload.worker.pools.forked_process import ForkedProcess
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.time_limits import CHECK_INTERVAL, KILL_TIMEOUT, STOP_TIMEOUT
from offload.worker.runners.slot_table import SlotTable, create_shared_memory

logger = logging.getLogger("offload.worker")


class ChildProcess:
    """One child process: what it is sent and sends, and whether it must be killed or replaced.

    Args:
        process: has been forked.
        limits: its limits.
        run_times: how long tasks run; shared by all children.
        progress: receives the progress of its jobs.
        shows_logs: whether it prints a line for each job's start and finish.
        runs_one_job: whether the pool submits one job at a time, and nothing else runs here.

    Attributes:
        jobs: the jobs that it holds.
        limits_in_code: the limits of the tasks that it has loaded, if it has loaded more of them.
    """

    is_ready = False
    is_retiring = False
    """Whether it gets no more jobs and is replaced."""
    is_used_up = False
    """Whether it is replaced because it has reached a limit."""
    _check_at = 0.0
    _is_killed = False
    _fault: str | None = None
    """Why it was killed, if it misbehaved."""
    _stop_sent_at: float | None = None

    def __init__(
        self,
        process: ForkedProcess,
        limits: ChildLimits,
        run_times: RunTimes,
        progress: dict[ClaimKey, str],
        *,
        shows_logs: bool,
        runs_one_job: bool = False,
    ) -> None:
        self.process = process
        self.runs_one_job = runs_one_job
        self._limits = limits
        self._progress = progress
        slots = _send_options(process.end, limits, shows_logs=shows_logs)
        self.jobs = ChildJobs(
            Capacity(limits.threads, limits.async_slots, run_times),
            slots,
            limits.kill_grace_period,
            process=f"Child process {self.pid}",
        )
        self._health = ChildHealth(self.pid, limits.lease)
        self._memory = ChildMemory(self.pid, limits.max_memory, lambda: slots.peak_memory)
        process.end.setblocking(False)  # noqa: FBT003
        self.channel = Channel(process.end)
        self.limits_in_code = LimitsInCode()
        self._reader = MessageReader(self.channel, slots)
        self._pings = ChildPings(self.pid, self.channel, slots)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def accepts_jobs(self) -> bool:
        return self._is_usable and not self.runs_one_job and not self.jobs.ignore_interruptions

    @property
    def is_idle(self) -> bool:
        """Whether it could run jobs and has none."""
        return self._is_usable and not self.jobs.capacity

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
        if not self.accepts_jobs or self.jobs.is_suspended(is_async=is_async):
            return 0
        free = self.jobs.capacity.free(is_async=is_async)
        if self._limits.max_jobs is None:
            return free
        jobs_left = self._limits.max_jobs - self.jobs.finished - len(self.jobs.capacity)
        return max(0, min(free, jobs_left))

    def free_slots(self, *, is_async: bool) -> int:
        """Return how many more jobs of a kind would start at once."""
        free = self.jobs.capacity.free_slots(is_async=is_async)
        return min(free, self.capacity(is_async=is_async))

    def should_refill(self, *, is_async: bool) -> bool:
        """Return True if it is time to submit more jobs of a kind."""
        if self.capacity(is_async=is_async) == 0:
            return False
        return self.jobs.capacity.should_refill(is_async=is_async)

    @property
    def held_up_jobs(self) -> list[ClaimedJob]:
        """The running jobs, if one of them keeps the process from responding."""
        return self.jobs.running if self._pings.is_unresponsive else []

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Send jobs to the child, in the order in which they should start."""
        if jobs:
            first = self.jobs.capacity.take(jobs)
            self.channel.send(MessageKind.RUN, first, list(map(tuple, jobs)))
            self._retire_after_last_job()

    def collect(self) -> list[FinishedJob]:
        """Handle the child's messages; return the jobs that finished or were released."""
        rows: list[Row] = []
        try:
            for message in self._reader.read() if self._fault is None else ():
                rows += self._handle(message)
        except MalformedMessage as error:
            self._kill_because(f"it sent {error}")
        return self.jobs.settle(rows)

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        """Interrupt jobs, if this child holds them."""
        new = self.jobs.note_cancelled(keys)
        if new:
            self.channel.send(MessageKind.CANCEL, list(new))

    def announce(self, message: tuple[Any, ...]) -> None:
        """Let the child send Django's `task_finished` for jobs that finished elsewhere."""
        self.channel.send(*message)

    def enforce_limits(self, now: float) -> None:
        """Kill the process if a job does not stop; take back jobs that it does not start.

        Before the process is killed, its other jobs get the grace period to finish.
        """
        if now < self._check_at:
            return
        self._check_at = now + CHECK_INTERVAL
        if self.jobs.must_be_killed(now):
            self._kill()
        self.jobs.take_back_waiting(now)
        self._pings.step(now, self.jobs)
        fault = self._health.find_fault(
            now, is_ready=self.is_ready, is_closed=self.channel.is_closed
        )
        if fault is not None:
            self._kill_because(fault)
        self._enforce_memory_limit(now)
        self._stop_if_retired(now)

    def retire(self) -> None:
        """Accept no more jobs, and exit after the running ones."""
        self.is_retiring = True
        self.jobs.release_waiting()

    def stop(self) -> None:
        """Stop the process, or kill it if it holds jobs."""
        self.is_retiring = True
        if self.jobs.capacity:
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
        finished += self.jobs.end(reason, by_worker=by_worker or self._is_killed)
        self.channel.close()
        self.process.close()
        return finished

    def _handle(self, message: tuple[Any, ...]) -> list[Row]:
        """Handle a message; return the rows of the jobs that it says have finished."""
        match message:
            case MessageKind.FINISHED, rows:
                return list(rows)
            case MessageKind.PROGRESS, progress:
                self._progress |= {key: progress[key] for key in self.jobs.keys & progress.keys()}
            case MessageKind.LIMITS, loaded_at, numbers:
                self.limits_in_code = LimitsInCode(loaded_at, numbers)
            case (MessageKind.READY,):
                self.is_ready = True
            case (MessageKind.EXHAUSTED,):
                logger.warning(
                    "Child process %s has hardly any file descriptors left, and is replaced.",
                    self.pid,
                )
                self.retire()
        return []

    def _retire_after_last_job(self) -> None:
        """Let another process take its place as soon as this one holds its last jobs."""
        max_jobs = self._limits.max_jobs
        if max_jobs is not None and self.jobs.finished + len(self.jobs.capacity) >= max_jobs:
            self.is_retiring = self.is_used_up = True

    def _enforce_memory_limit(self, now: float) -> None:
        """Replace the process if it uses too much memory; kill it if a job lets it grow on.

        Each process runs a job at least, or a limit that is too low would let none run.
        """
        if not self.is_ready or self._fault is not None:
            return
        self._memory.read(now)
        fault = self._memory.fault
        if fault is not None and self.jobs.capacity:
            self._kill_because(fault)
        elif self._memory.is_above_limit and self.jobs.finished and not self.is_retiring:
            logger.info("Child process %s uses %s, and is replaced.", self.pid, self._memory)
            self.is_used_up = True
            self.retire()

    def _stop_if_retired(self, now: float) -> None:
        """Send STOP once no job is left; kill a process that does not react to it."""
        if not self.is_retiring or self.jobs.capacity:
            return
        if self._stop_sent_at is None:
            self._stop_sent_at = now
            self.channel.send(MessageKind.STOP)
        elif now > self._stop_sent_at + self._limits.kill_grace_period + STOP_TIMEOUT:
            self._kill()

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


def _send_options(end: socket.socket, limits: ChildLimits, *, shows_logs: bool) -> SlotTable:
    """Send a new child its options and the memory of its slot table; return the table."""
    options = ChildOptions(
        limits.threads,
        limits.async_slots,
        limits.async_threads,
        limits.using,
        limits.kill_grace_period,
        shows_logs,
        limits.is_first,
    )
    memory = create_shared_memory()
    slots = SlotTable(limits.threads + limits.async_slots, memory)
    send_options(end, options, memory)
    os.close(memory)
    return slots
