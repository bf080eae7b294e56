"""Limits on the streams and held requests of one user, and of one web process."""

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


class ConnectionLimits:
    """The seats of this process.

    Args:
        each: how many one holder may have.
        total: how many there are.
    """

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._taken: Counter[str] = Counter()
        self._left: SimpleQueue[str] = SimpleQueue()
        self._lock = threading.Lock()

    def acquire(self, holder: str) -> None:
        """Take a seat.

        Args:
            holder: who takes it; "" for somebody unknown, whose seats only the total limits.

        Raises:
            Problem: 429 if the holder has too many, 503 if all are taken.
        """
        with self._lock:
            self._clear()
            if self._taken.total() >= self._total:
                raise problems.busy(random.randint(5, 15))  # noqa: S311  # spreads them in time
            if holder and self._taken[holder] >= self._each:
                raise problems.too_many_streams(random.randint(5, 15))  # noqa: S311
            self._taken[holder] += 1

    def release(self, holder: str) -> None:
        """Free a seat. It takes no lock: Python may delete an order at any moment."""
        self._left.put(holder)

    def _clear(self) -> None:
        while not self._left.empty():
            holder = self._left.get()
            self._taken[holder] -= 1
            if self._taken[holder] <= 0:
                del self._taken[holder]

    @contextmanager
    def acquired_by(self, holder: str) -> Iterator[None]:
        """Take a seat for as long as a `with` block lasts."""
        self.acquire(holder)
        try:
            yield
        finally:
            self.release(holder)


@cache
def get_connection_limits() -> ConnectionLimits:
    """Return the seats of this process, as many as the options of the default backend say."""
    options = backend_options(DEFAULT_TASK_BACKEND_ALIAS)
    return ConnectionLimits(options.max_streams_per_user, options.max_streams)
