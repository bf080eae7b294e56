"""Keeps the numbers of limits in the database as they are in the code."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from offload.worker.limits_in_code import LimitsInCode
from offload.worker.timers import Timer

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")

INTERVAL = 5.0
"""Seconds between two looks at the code: a process may load tasks late, or load them again."""
COMPARE_INTERVAL = 60.0
"""Seconds between two looks at the numbers in the database, while the code stays the same."""


class LimitUpkeep:
    """Writes the numbers of the code once they are known, and again when they have changed.

    So they hold for jobs that wait already, and not only once another job is enqueued.

    Args:
        store: the queue.
        backend: alias in TASKS.
        pool: runs the jobs, where the code is loaded.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        backend: str,
        pool: Pool,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._backend = backend
        self._pool = pool
        self._clock = clock
        self._written = LimitsInCode()
        self._compare_at = 0.0
        self._others: dict[str, str] = {}
        """The other numbers of code that was loaded later, which have been logged."""
        self.timer = Timer(self.write, INTERVAL)

    def write(self) -> None:
        """Write the numbers, unless they are those that were written last."""
        limits = self._pool.limits_in_code()
        if limits == self._written and self._clock() < self._compare_at:
            return
        code = limits.of_backend(self._backend)
        others = self._store.keep_limits(code)
        for name, text in others.items():
            if self._others.get(name) != text:
                logger.warning(
                    "The limit %r has the numbers %s in the code of this worker, and %s in code "
                    "that was loaded later, which hold. Restart the workers that have older code.",
                    name,
                    code[name].text,
                    text,
                )
        self._others = others
        self._written, self._compare_at = limits, self._clock() + COMPARE_INTERVAL
