"""Jobs run in child processes, so that nothing a task does can harm the engine."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Sequence
from operator import itemgetter

from offload.lifecycle import JobState
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.pools.base import Pool
from offload.worker.pools.child_process import ChildLimits, ChildProcess
from offload.worker.pools.run_times import RunTimes

logger = logging.getLogger("offload.worker")

MAX_RESTART_DELAY = 60.0
"""Seconds between two tries to start a child that does not come up."""


class ProcessPool(Pool):
    """Args:
    processes: how many children.
    limits: of each child.
    shows_logs: whether children print a line for each job's start and end.
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
        self._ended: list[FinishedJob] = []
        self._untold: list[FinishedJob] = []
        self._progress: dict[ClaimKey, str] = {}
        self._failures = 0
        self._start_at = 0.0
        self._stopped = False

    def start(self) -> None:
        for _ in range(self.processes):
            self._start_child()

    def descriptors(self) -> tuple[list[int], list[int]]:
        readers = [child.link.fileno() for child in self._children]
        readers += [child.process.sentinel for child in self._children]
        return readers, [child.link.fileno() for child in self._children if child.link.is_full]

    def capacity(self, *, is_async: bool) -> int:
        return sum(child.capacity(is_async=is_async) for child in self._children)

    def should_refill(self, *, is_async: bool) -> bool:
        return any(child.should_refill(is_async=is_async) for child in self._children)

    @property
    def is_backed_up(self) -> bool:
        return any(child.is_backed_up for child in self._children)

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Deal the jobs out, the most urgent ones first, to the children with most room."""
        for is_async in (False, True):
            lane = [job for job in jobs if bool(job.is_async) is is_async]
            while lane:
                children = self._by_room(is_async=is_async)
                share = -(-len(lane) // len(children))
                for child in children:
                    count = max(1, min(share, child.capacity(is_async=is_async)))
                    dealt, lane = lane[:count], lane[count:]
                    child.run(dealt)

    def collect(self) -> list[FinishedJob]:
        for child in self._children:
            child.link.flush()
            self._ended += child.receive()
        ended, self._ended = self._ended, []
        return ended

    def progress(self) -> dict[ClaimKey, str]:
        moved = self._progress.copy()
        self._progress.clear()
        return moved

    def enforce_limits(self) -> None:
        now = time.monotonic()
        for child in list(self._children):
            if not child.process.is_alive():
                self._bury(child)
            else:
                child.enforce_limits(now)
        missing = self.processes - sum(not child.is_retiring for child in self._children)
        if missing > 0 and not self._stopped and now >= self._start_at:
            for _ in range(missing):
                self._start_child()
        if self._untold:
            self.announce_finished(())

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        for child in self._children:
            child.cancel(keys)

    def release_waiting(self) -> None:
        for child in self._children:
            child.release_waiting()

    def announce_finished(self, ended: Sequence[FinishedJob]) -> None:
        """Leave it to a child, if need be a later one: the engine runs no receiver of signals."""
        self._untold += ended
        able = next((child for child in self._children if child.is_able), None)
        while self._untold and able is not None:
            job, outcome = self._untold.pop(0)
            able.link.send("announce", tuple(job), tuple(outcome))

    def held_jobs(self) -> list[ClaimedJob]:
        return [job for child in self._children for job in child.held_jobs()]

    def stop(self) -> None:
        self._stopped = True
        for child in self._children:
            child.end()
        for child in self._children:
            self._ended += child.bury(reason="the worker was stopped", by_us=True)
        self._children.clear()

    def _by_room(self, *, is_async: bool) -> list[ChildProcess]:
        """Return the children that have room, or, as one may have died meanwhile, any others."""
        able = [child for child in self._children if child.is_able] or self._children
        rooms = [(child.capacity(is_async=is_async), child) for child in able]
        rooms = [pair for pair in rooms if pair[0] > 0] or rooms
        return [child for _, child in sorted(rooms, key=itemgetter(0), reverse=True)]

    def _start_child(self) -> None:
        try:
            child = ChildProcess(
                self._context,
                self._limits,
                self._run_times,
                self._progress,
                shows_logs=self._shows_logs,
            )
        except (OSError, EOFError) as error:
            self._put_off(f"{type(error).__name__}: {error}")
        else:
            self._children.append(child)

    def _put_off(self, reason: str) -> None:
        """Wait ever longer before the next try to start a child."""
        self._failures += 1
        delay = min(MAX_RESTART_DELAY, 2.0 ** (self._failures - 1))
        self._start_at = time.monotonic() + delay
        logger.error("A child process did not start (%s); again in %.0f s.", reason, delay)

    def _bury(self, child: ChildProcess) -> None:
        """Take back what a dead child held."""
        self._ended += child.receive()
        self._children.remove(child)
        if not child.is_ready:
            self._put_off(child.cause_of_death)
        else:
            self._failures = 0
            if not child.is_expected_to_die:
                logger.warning("ChildProcess process %s died: %s.", child.pid, child.cause_of_death)
        buried = child.bury(reason=f"its process died: {child.cause_of_death}")
        self._ended += buried
        self.announce_finished([pair for pair in buried if JobState(pair[1].state).is_finished])
