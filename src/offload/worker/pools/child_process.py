"""A child process, seen from the engine."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import Outcome, released
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.child import main as other_side
from offload.worker.child.channel import Channel
from offload.worker.pools.base import interrupted_outcome, overdue, unresponsive_outcome
from offload.worker.pools.capacity import Capacity
from offload.worker.pools.run_times import RunTimes
from offload.worker.runners.slot_table import SlotTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What one child may do.

    Attributes:
        threads: tasks written with def at once.
        async_slots: tasks written with async def at once.
        kill_grace_period: seconds that a job has to stop after it was told.
        using: alias in DATABASES where the jobs are stored.
        max_jobs: jobs after which the child is replaced; None for no limit.
        max_memory: bytes of resident memory above which it is replaced; None for no limit.
    """

    threads: int
    async_slots: int
    kill_grace_period: float
    using: str
    max_jobs: int | None = None
    max_memory: int | None = None


class ChildProcess:
    """One process: what it holds, and whether it must go.

    Args:
        limits: what it may do.
        run_times: how long tasks take; all children learn together.
        progress: where to put how far its jobs are.
        shows_logs: whether it prints a line for each job's start and end.
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
        self._capacity = Capacity(limits.threads, limits.async_slots, run_times)
        self.is_ready = False
        self.is_retiring = False
        """No more jobs for it: it is replaced when those it has have ended."""
        self._limits = limits
        self._progress = progress
        self._cancels: dict[ClaimKey, float] = {}
        self._doomed: dict[int, type[Interruption]] = {}
        self._doomed_at = 0.0
        self._ended = 0
        self._killed = False
        ours, theirs = socket.socketpair()
        self.process = context.Process(
            target=other_side.main,
            args=(theirs, limits.threads, limits.async_slots, limits.using, shows_logs),
            name="offload-child",
        )
        self.process.start()
        theirs.close()
        with tempfile.TemporaryFile() as memory:
            self.slot_table = SlotTable(limits.threads + limits.async_slots, memory.fileno())
            socket.send_fds(ours, [b"m"], [memory.fileno()])
        ours.setblocking(False)  # noqa: FBT003
        self.link = Channel(ours)

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    @property
    def is_able(self) -> bool:
        """Whether it takes jobs."""
        return self.is_ready and not self.is_retiring and not self._doomed

    @property
    def is_expected_to_die(self) -> bool:
        return self.is_retiring or self._killed

    @property
    def cause_of_death(self) -> str:
        """How the process ended, for people."""
        code = self.process.exitcode
        if code is None:
            return "it still lives"
        if code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def capacity(self, *, is_async: bool) -> int:
        if not self.is_able:
            return 0
        room = self._capacity.free(is_async=is_async)
        if self._limits.max_jobs is None:
            return room
        return max(0, min(room, self._limits.max_jobs - self._ended - len(self._capacity)))

    def should_refill(self, *, is_async: bool) -> bool:
        return self.capacity(is_async=is_async) > 0 and self._capacity.should_refill(
            is_async=is_async
        )

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs wait here behind those that run."""
        return self._capacity.is_backed_up

    def held_jobs(self) -> list[ClaimedJob]:
        """Return the jobs that have not finished."""
        return list(self._capacity.held.values())

    def run(self, jobs: Sequence[ClaimedJob]) -> None:
        """Hand over jobs, in the order in which they should begin."""
        if jobs:
            self.link.send("run", self._capacity.take(jobs), list(map(tuple, jobs)))

    def receive(self) -> list[FinishedJob]:
        """Return the jobs that it says have ended, or were not begun."""
        ended: list[FinishedJob] = []
        for kind, *content in self.link.receive() or ():
            if kind == "ready":
                self.is_ready = True
            elif kind == "progress":
                self._progress |= content[0]
            elif kind == "recalled":
                ended += self._capacity.settle((number, released(), None) for number in content[0])
            else:
                self._ended += len(content[0])
                ended += self._capacity.settle(content[0])
        if self._cancels or self._doomed:
            self._forget_ended()
        return ended

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        """Have running jobs stopped, if they are here."""
        held = {job.key for job in self._capacity.held.values()}
        mine = [key for key in keys if key in held and key not in self._cancels]
        if mine:
            now = time.monotonic()
            self._cancels.update(dict.fromkeys(mine, now))
            self.link.send("cancel", mine)

    def release_waiting(self) -> None:
        """Ask for the jobs that have not begun."""
        self.link.send("recall")

    def enforce_limits(self, now: float) -> None:
        """Kill the process if a job in it should have stopped, and take back what is stuck."""
        limits = {"kill_grace_period": self._limits.kill_grace_period, "now": now}
        for number, kind in overdue(
            self._capacity, self.slot_table.running(), self._cancels, **limits
        ):
            if not self._doomed:
                self._doomed_at = now
                self.release_waiting()
            self._doomed.setdefault(number, kind)
        if self._doomed and (
            now > self._doomed_at + self._limits.kill_grace_period
            or set(self._capacity.held) <= set(self._doomed)
        ):
            self._kill()
        elif self._capacity.is_stuck(self.slot_table.running(), now):
            self.release_waiting()
        self._retire_if_used_up()

    def end(self) -> None:
        """Ask the process to end; kill it if it holds jobs."""
        self.is_retiring = True
        if self._capacity.held:
            self._kill()
        else:
            self.link.send("stop")

    def bury(self, *, reason: str, by_us: bool = False) -> list[FinishedJob]:
        """Return what became of the jobs that it held; the process is dead or dying."""
        self.process.join(1.0)
        if self.process.is_alive():
            self._kill()
            self.process.join()
        ended = self.receive()
        by_us = by_us or self._killed
        ended += self._capacity.settle(
            [
                (number, self._fate(number, job, reason, by_us=by_us), None)
                for number, job in self._capacity.held.items()
            ]
        )
        self.link.close()
        return ended

    def _fate(self, number: int, job: ClaimedJob, reason: str, *, by_us: bool) -> Outcome:
        if number in self._doomed:
            return unresponsive_outcome(job, self._doomed[number])
        if not self.slot_table.has_started(number, is_async=bool(job.is_async)):
            return released()
        if job.key in self._cancels:
            return unresponsive_outcome(job, JobCancelled)
        return interrupted_outcome(job, reason) if by_us else lost_outcome(job, reason)

    def _forget_ended(self) -> None:
        held = self._capacity.held
        keys = {job.key for job in held.values()}
        self._cancels = {key: since for key, since in self._cancels.items() if key in keys}
        self._doomed = {number: kind for number, kind in self._doomed.items() if number in held}

    def _retire_if_used_up(self) -> None:
        limits = self._limits
        if not self.is_retiring:
            too_many = limits.max_jobs is not None and self._ended >= limits.max_jobs
            too_big = limits.max_memory is not None and _memory_of(self.pid) > limits.max_memory
            if too_many or too_big:
                self.is_retiring = True
                self.release_waiting()
        elif not self._capacity.held:
            self.link.send("stop")

    def _kill(self) -> None:
        self._killed = True
        self.process.kill()


def _memory_of(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
