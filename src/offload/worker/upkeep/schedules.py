"""A worker's part in schedules: it fires those that are due, and keeps their definitions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from offload.backends.queue_guard import guard_of
from offload.exceptions import QueueFull
from offload.schedules.definitions import backend_options
from offload.worker.timers import NEVER, Timer

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.store.schedule_records import KeptSchedules
    from offload.worker.claiming.poller import Poller
    from offload.worker.pools.base import Pool
    from offload.worker.schedules_in_code import SchedulesInCode

logger = logging.getLogger("offload.worker")

INTERVAL = 5.0
"""Seconds between two looks at the code: a process may load tasks late, or load them again."""
COMPARE_INTERVAL = 60.0
"""Seconds between two looks whether code that was loaded later has changed schedules."""
RETRY_DELAY = 0.2
"""Seconds until the next look while another worker fires the schedules that are due."""


class ScheduleUpkeep:
    """Fires the schedules that are due, and writes those of the code.

    Args:
        store: the queue.
        backend: alias in TASKS.
        pool: runs the jobs, where the code is loaded.
        poller: knows from its polls when the next schedule is due, and expects the jobs.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        backend: str,
        pool: Pool,
        poller: Poller,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._backend = backend
        self._pool = pool
        self._poller = poller
        self._clock = clock
        self._written: SchedulesInCode | None = None
        self._newer: set[str] = set()
        """The names that were logged, of schedules that code loaded later defines otherwise."""
        self._compare_at = 0.0
        self.timer = Timer(self.keep, INTERVAL)

    @property
    def due_at(self) -> float:
        """When the next schedule is due (monotonic clock)."""
        return self._poller.schedules_at

    def run_if_due(self, now: float) -> None:
        """Fire the schedules that are due."""
        if now < self.due_at:
            return
        self._poller.schedules_at = now + RETRY_DELAY  # so that a call that raises is repeated
        self.fire()

    def fire(self) -> None:
        """Fire at most 100 schedules that are due, and learn when the next one is."""
        fired = self._store.fire_schedules(self._admits)
        for name, error in fired.broken.items():
            logger.error("The schedule %r cannot tick, and stops: %s", name, error)
        for name, queue in fired.held.items():
            logger.warning(
                "The tick of the schedule %r waits: the queue %r is full. It becomes a job when "
                "there is room, unless it is too late then.",
                name,
                queue,
            )
        for name in fired.dropped:
            logger.warning(
                "The schedule %r has skipped ticks, as its queue was full for too long.", name
            )
        if fired.jobs:
            self._poller.jobs_made_ready()
        if fired.next_in is None:
            self._poller.schedules_at = NEVER
        else:
            is_idle = not fired.jobs and not fired.broken
            delay = RETRY_DELAY if is_idle and not fired.next_in else fired.next_in
            self._poller.schedules_at = self._clock() + delay

    def _admits(self, backend: str, queue: str) -> bool:
        """Return whether a queue takes a job, as `enqueue` would say."""
        options = backend_options(backend)
        if options is None:  # another project's
            return True
        try:
            guard_of(backend, options).admit(self._store, queue, 1)
        except QueueFull:
            return False
        return True

    def keep(self) -> None:
        """Write the schedules of the code if they differ from those that were written last.

        Once in a minute, look whether those of a worker with later code differ.
        """
        loaded = self._pool.schedules_in_code()
        if loaded is None:
            return
        # A process that loads the same code again does not count as one with later code.
        if self._written is not None and loaded[:-1] == self._written[:-1]:
            if self._clock() >= self._compare_at:
                code = self._written.of_backend(self._backend)
                self._log_newer(self._store.newer_schedules(self._backend, code))
            return
        code = loaded.of_backend(self._backend)
        kept = self._store.keep_schedules(self._backend, code)
        self._written = loaded
        _log_kept(kept)
        self._log_newer(kept.newer)
        for definition in code.schedules.values():
            if definition.error:
                logger.error("The schedule %r cannot tick: %s", definition.name, definition.error)

    def _log_newer(self, names: list[str]) -> None:
        """Log which schedules of the code do not count, once."""
        self._compare_at = self._clock() + COMPARE_INTERVAL
        new = [name for name in names if name not in self._newer]
        if new:
            logger.warning(
                "Code that was loaded later than that of this worker defines the schedules %s "
                "otherwise, or does not have them any more, and it decides. Restart the workers "
                "that have older code.",
                ", ".join(map(repr, new)),
            )
        self._newer = set(names)


def _log_kept(kept: KeptSchedules) -> None:
    for name in kept.refused:
        logger.error(
            "The schedule %r of the code does not tick: another one that was made elsewhere has "
            "its name. Rename one of them.",
            name,
        )
    if kept.replaced:
        logger.info(
            "The code of this worker has replaced the definitions that older code wrote of the "
            "schedules %s.",
            ", ".join(map(repr, kept.replaced)),
        )
    if kept.retired:
        logger.info(
            "The code of this worker does not have the schedules %s any more; they are retired.",
            ", ".join(map(repr, kept.retired)),
        )
