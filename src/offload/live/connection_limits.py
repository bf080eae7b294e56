"""Limits on the streams and held requests of one process: per client, and in total."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.live import problems
from offload.live.jobs import backend_options

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 5, 15
"""A refused client retries after a random time between these; all at once would overload."""


class ConnectionLimits:
    """The open connections of a process, counted by holder.

    Args:
        per_holder: maximum number of connections of one holder.
        total: maximum number of connections of all holders together.
    """

    def __init__(self, per_holder: int, total: int) -> None:
        self._per_holder = per_holder
        self._total = total
        self._open: Counter[str] = Counter()
        self._released: SimpleQueue[str] = SimpleQueue()
        self._lock = threading.Lock()

    def acquire(self, holder: str) -> None:
        """Count one more connection.

        Args:
            holder: name of the client; "" for an unknown one, to which only the total applies.

        Raises:
            Problem: 429 if the holder has too many connections, 503 if the process has.
        """
        with self._lock:
            self._subtract_released()
            if self._open.total() >= self._total:
                raise problems.busy(_retry_seconds())
            if holder and self._open[holder] >= self._per_holder:
                raise problems.too_many_streams(_retry_seconds())
            self._open[holder] += 1

    def release(self, holder: str) -> None:
        """Count one connection less.

        This takes no lock: the garbage collector may call it at any moment, even while the same
        thread is in `acquire`.
        """
        self._released.put(holder)

    @contextmanager
    def acquired_by(self, holder: str) -> Iterator[None]:
        """Count one more connection within a `with` block."""
        self.acquire(holder)
        try:
            yield
        finally:
            self.release(holder)

    def _subtract_released(self) -> None:
        while not self._released.empty():
            holder = self._released.get()
            self._open[holder] -= 1
            if self._open[holder] <= 0:
                del self._open[holder]


@cache
def get_connection_limits() -> ConnectionLimits:
    """Return the limits of this process, from the options of the default backend."""
    options = backend_options(DEFAULT_TASK_BACKEND_ALIAS)
    return ConnectionLimits(options.max_streams_per_user, options.max_streams)


def _retry_seconds() -> int:
    return random.randint(MIN_RETRY_SECONDS, MAX_RETRY_SECONDS)  # noqa: S311  # spreads clients
