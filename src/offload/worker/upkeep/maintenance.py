"""What every engine does for the queue as a whole. There is no leader: statements decide."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.lifecycle import JobState, retention_periods
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.worker.cooldown import Cooldown
from offload.worker.timers import Timer

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from offload.conf import BackendOptions
    from offload.store.records import FinishedJob
    from offload.worker.claiming.watermarks import Watermarks
    from offload.worker.pools.base import Pool
    from offload.worker.upkeep.registration import Registration

logger = logging.getLogger("offload.worker")

RESCUE_INTERVAL = 5.0
CONFIRMATION = 1.5
"""Beats that an engine may miss after its lease ran out until it is taken for dead."""
NEVER = float("inf")
LOCKED_PAUSE = 0.25
"""Seconds until a job is tried again that is due and locked."""
PROMOTE_INTERVAL = 15.0
PRUNE_INTERVAL = 60.0
PRUNE_PAUSE = 0.2
"""Seconds until more is pruned, if there was more than one batch of 1,000."""
PRUNE_TIMES = 4
"""How many times as long as a batch took the pause is at least: an engine is there for jobs."""


class Maintenance:
    """Args:
    floors: the queue, and from where the engine claims that does all this.
    registration: of that engine.
    options: the backend's options.
    pool: announces the jobs that ended without an executor.
    look: called when jobs may be ready: in these queues, or anywhere.
    ring: tells other engines the same.
    """

    def __init__(
        self,
        floors: Watermarks,
        registration: Registration,
        options: BackendOptions,
        pool: Pool,
        *,
        look: Callable[[Collection[str] | None], None],
        ring: Callable[[], None],
    ) -> None:
        self._registration = registration
        self._ring = ring
        self._suspects: dict[UUID, tuple[datetime, float]] = {}
        """Engines whose lease ran out: when they beat last, and since when we know."""
        self._floors = floors
        self._searching = Cooldown()
        """Of the look for jobs of engines that are gone, although none is known to be."""
        self._glancing = Cooldown()
        """Of the look at the whole queue."""
        self._due_at = NEVER
        """When the next scheduled job is due, as the last look saw it."""
        self._store = floors.store
        self._options = options
        self._pool = pool
        self._look = look
        self.promotion = Timer(self._promote, PROMOTE_INTERVAL)
        self.duties = [
            self.promotion,
            Timer(self._rescue, min(RESCUE_INTERVAL, options.heartbeat_interval)),
            Timer(self._prune, PRUNE_INTERVAL),
        ]

    def _promote(self) -> float | None:
        """Look whether jobs are ready or due, and make ready what is due.

        A look that took long rests. Meanwhile jobs may be ready anywhere, and those are due that
        were known: what was enqueued since waits for the next look.
        """
        now = time.monotonic()
        if self._glancing.is_over:
            with self._glancing.after():
                queues, due = self._floors.glance()
            self._look(queues)
            self._due_at = NEVER if due is None else now + due
        else:
            self._look(None)
        if self._due_at > now:
            again_in = min(self._due_at - now, self._glancing.left or NEVER)
            return None if again_in == NEVER else again_in
        promoted = self._store.promote()
        if not promoted:  # its row is locked by somebody's transaction
            return max(LOCKED_PAUSE, self._glancing.left)
        failpoint("worker.promoted")
        self._look(None)
        self._ring()  # other engines may have room for them too
        if promoted < MAX_ROWS_PER_STATEMENT:
            self._due_at = NEVER
        return 0.0

    def _rescue(self) -> float | None:
        """Take back the jobs of engines that are dead beyond doubt.

        Of an engine on this host the kernel tells that it is gone. Of others, a lease that ran
        out is not enough: after an outage of the database, or a jump of its clock, all leases
        have. Who then does not beat for another while is dead.
        """
        # While the database does not answer no one can beat: that time does not count.
        suspects, self._suspects = self._suspects, {}
        self._suspects = {
            worker: suspects[worker]
            if worker in suspects and suspects[worker][0] == beat
            else (beat, time.monotonic())
            for worker, beat in self._store.expired_workers().items()
            if worker != self._registration.id
        }
        confirmed = time.monotonic() - CONFIRMATION * self._options.heartbeat_interval
        dead = [worker for worker, (_, since) in self._suspects.items() if since <= confirmed]
        gone = self._registration.presence.gone()
        if dead or gone or self._searching.is_over:
            with self._searching.after():
                rescued = self._store.rescue(dead, gone)
            self._announce_rescued(rescued)
        for worker in gone:
            self._registration.presence.forget(worker)
        if len(dead) == len(self._suspects):
            return None
        return CONFIRMATION * self._options.heartbeat_interval

    def _announce_rescued(self, rescued: Sequence[FinishedJob]) -> None:
        if not rescued:
            return
        failpoint("worker.rescued")
        logger.warning("%d jobs were rescued from engines that had died.", len(rescued))
        self._look(None)
        self._ring()
        self.promotion.hasten()
        self._pool.announce_finished(
            [pair for pair in rescued if JobState(pair[1].state).is_finished]
        )

    def _prune(self) -> float | None:
        """Prune one batch of each state; soon again if one was full, as jobs come faster then."""
        options = self._options
        begun, most = time.monotonic(), 0
        for state, period in retention_periods(
            options.keep_successful, options.keep_failed
        ).items():
            before = self._store.now(after=-period.total_seconds())
            old = self._store.finished_before(self._registration.backend, state, before=before)
            most = max(most, next(self._store.prune(old), 0))
        took = time.monotonic() - begun
        return max(PRUNE_PAUSE, PRUNE_TIMES * took) if most >= MAX_ROWS_PER_STATEMENT else None
