"""The child processes that a pool has asked for, and when it may ask for more."""

from __future__ import annotations

import logging
import time

from offload.worker.child.project import ProjectError
from offload.worker.pools.fork_server import fork_server
from offload.worker.pools.forked_process import ForkedProcess, ForkRequest
from offload.worker.pools.time_limits import MAX_RESTART_DELAY

logger = logging.getLogger("offload.worker")

MAX_DOUBLINGS = 6
"""Doublings of the delay until it is longer than MAX_RESTART_DELAY."""


class ChildStarts:
    """The starts of child processes that have not ended, and the delay after those that failed."""

    def __init__(self) -> None:
        self._requests: dict[ForkRequest, bool] = {}
        """Whether each of them is for a process that runs one job at a time."""
        self._failures = 0
        self._next_at = 0.0

    def count(self, *, runs_one_job: bool) -> int:
        """Return how many processes of a kind have been requested and do not exist yet."""
        return sum(kind is runs_one_job for kind in self._requests.values())

    def descriptors(self) -> list[int]:
        """Return the descriptors that become readable when a process exists or cannot start."""
        return [request.status for request in self._requests]

    def request(self, count: int, *, runs_one_job: bool = False) -> None:
        """Request processes, unless it is too early after a failure."""
        if time.monotonic() < self._next_at:
            return
        try:
            for _ in range(count):
                self._requests[fork_server.request()] = runs_one_job
        except (OSError, ProjectError) as error:
            self.delay(f"{type(error).__name__}: {error}")

    def take_started(self, now: float) -> list[tuple[ForkedProcess, bool]]:
        """Return the processes that exist by now, each once, and whether each runs one job.

        If one cannot start, the others are given up: mostly they have the same fault.
        """
        started = []
        try:
            for request, runs_one_job in list(self._requests.items()):
                process = request.process(now)
                if process is not None:
                    del self._requests[request]
                    started.append((process, runs_one_job))
        except (OSError, ProjectError) as error:
            self.delay(f"{type(error).__name__}: {error}")
        return started

    def delay(self, reason: str) -> None:
        """Give up the requests, and double the delay before the next one."""
        for request in self._requests:
            request.close()
        self._requests.clear()
        self._failures += 1
        delay = min(MAX_RESTART_DELAY, 2.0 ** min(self._failures - 1, MAX_DOUBLINGS))
        self._next_at = time.monotonic() + delay
        logger.error("A child process could not start (%s). Trying again in %.0f s.", reason, delay)

    def reset_delay(self) -> None:
        """Forget the failures, as a process has started well."""
        self._failures = 0

    def stop(self) -> None:
        """Give up the requests, as the worker stops."""
        now = time.monotonic()
        for request in self._requests:
            request.abandon(now)
        self._requests.clear()
