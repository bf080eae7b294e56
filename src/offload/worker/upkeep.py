"""What every engine does for the queue as a whole. There is no leader: statements decide."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.worker.duties import Duty

if TYPE_CHECKING:
    from datetime import timedelta

    from offload.conf import Options
    from offload.store.base import Store
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")

RESCUE_INTERVAL = 5.0
PROMOTE_INTERVAL = 15.0
PRUNE_INTERVAL = 60.0
PRUNE_BATCHES = 10
"""Batches of 1,000 jobs of one state that are pruned at a time."""


class Upkeep:
    """Args:
    store: the queue.
    backend: alias in TASKS whose ended jobs it prunes.
    options: the backend's options.
    pool: announces the jobs that ended without an executor.
    look: called when jobs may have become ready.
    """

    def __init__(
        self,
        store: Store,
        backend: str,
        options: Options,
        pool: Pool,
        look: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._store = store
        self._options = options
        self._pool = pool
        self._look = look
        self.promotion = Duty(self._promote, PROMOTE_INTERVAL)
        self.duties = [
            self.promotion,
            Duty(self._rescue, min(RESCUE_INTERVAL, options.beat_interval)),
            Duty(self._prune, PRUNE_INTERVAL),
        ]

    def _promote(self) -> float | None:
        if self._store.promote():
            failpoint("engine.promoted")
            self._look()
        return self._store.next_due()

    def _rescue(self) -> None:
        rescued = self._store.rescue()
        if not rescued:
            return
        failpoint("engine.rescued")
        logger.warning("%d jobs were rescued from engines that had died.", len(rescued))
        self._look()
        self.promotion.hasten()
        self._pool.announce([pair for pair in rescued if JobState(pair[1].state).is_finished])

    def _prune(self) -> None:
        options = self._options
        self._prune_state(JobState.SUCCESSFUL, options.keep_successful)
        for state in (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED):
            self._prune_state(state, options.keep_failed)

    def _prune_state(self, state: JobState, period: timedelta | None) -> None:
        if period is None:
            return
        before = self._store.now(after=-period.total_seconds())
        for _ in range(PRUNE_BATCHES):
            if not self._store.prune(self._backend, [state], before=before):
                return
