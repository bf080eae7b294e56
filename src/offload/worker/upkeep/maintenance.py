"""Maintenance of the whole queue. There is no leader: every worker does it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from offload.failpoints import failpoint
from offload.lifecycle import JobState, retention_periods
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.uuid7 import FIRST_ID
from offload.worker.cooldown import Cooldown
from offload.worker.timers import Timer

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from offload.conf import BackendOptions
    from offload.store.base import Store
    from offload.store.records import FinishedJob
    from offload.worker.claiming.poller import Poller
    from offload.worker.pools.base import Pool
    from offload.worker.upkeep.registration import Registration

logger = logging.getLogger("offload.worker")

RESCUE_INTERVAL = 5.0
CONFIRMATION_HEARTBEATS = 1.5
"""An expired worker is dead if it sends no heartbeat for this many more intervals."""
PRUNE_INTERVAL = 60.0
PRUNE_KEYS_INTERVAL = 600.0
PRUNE_LIMITS_INTERVAL = 3600.0
DELETED_PARTS_INTERVAL = 600.0
MIN_UNSEEN = timedelta(days=7)
"""For how long no code has had a limit that is deleted, at least."""
MIN_PRUNE_PAUSE = 0.2
"""Seconds between two full batches, at least."""
PRUNE_PAUSE_FACTOR = 4
"""The pause lasts this many times as long as the batch took: jobs come first."""


class _Suspect(NamedTuple):
    """A worker whose lease has expired."""

    heartbeat_at: datetime
    """Its last heartbeat."""
    since: float
    """When this worker saw that first (monotonic clock)."""


class Maintenance:
    """Rescues the jobs of dead workers, prunes what is old, and finds deleted parts of workflows.

    Args:
        store: the queue.
        registration: of this worker.
        options: the backend's options.
        pool: announces jobs that failed because they lost their worker too often.
        poller: is notified of rescued jobs.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        registration: Registration,
        options: BackendOptions,
        pool: Pool,
        poller: Poller,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registration = registration
        self._options = options
        self._pool = pool
        self._poller = poller
        self._clock = clock
        self._confirmation = CONFIRMATION_HEARTBEATS * options.heartbeat_interval
        self._suspects: dict[UUID, _Suspect] = {}
        self._search_cooldown = Cooldown(clock)
        """The pause after a slow search for lost jobs while no worker is known to be dead."""
        self._last_key = ""
        """The last key of a limit that was looked at for pruning."""
        self._last_workflow = FIRST_ID
        """The last workflow that was searched for deleted parts."""
        self.timers = [
            Timer(self.rescue, min(RESCUE_INTERVAL, options.heartbeat_interval)),
            Timer(self.prune, PRUNE_INTERVAL),
            Timer(self.prune_keys, PRUNE_KEYS_INTERVAL),
            Timer(self.prune_limits, PRUNE_LIMITS_INTERVAL),
            Timer(self.find_deleted_parts, DELETED_PARTS_INTERVAL),
        ]

    def rescue(self) -> float | None:
        """Return the jobs of dead workers to their queues.

        The kernel shows which workers of this host have exited. For others an expired lease is
        not enough, as all leases expire during an outage of the database, or when its clock jumps:
        such a worker must then send no heartbeat for CONFIRMATION_HEARTBEATS intervals.

        Returns:
            Seconds until the next suspect may be confirmed; None if there is none.
        """
        self._update_suspects()
        silent = self._silent_workers()
        exited = self._registration.host_lock.exited_workers()
        if silent or exited or self._search_cooldown.is_over:
            with self._search_cooldown.measure():
                rescued = self._store.rescue(silent, exited, rescuer=self._registration.id)
            if rescued:
                self._publish(rescued)
        for worker in exited:
            self._registration.host_lock.forget(worker)
        has_more_suspects = len(silent) < len(self._suspects)
        return self._confirmation if has_more_suspects else None

    def has_suspects_with_jobs(self) -> bool:
        """Return whether a worker that may be dead holds jobs."""
        return any(self._store.held_jobs(worker) for worker in self._suspects)

    def prune(self) -> float | None:
        """Delete one batch of old jobs of each finished state.

        Returns:
            Seconds until the next batch if one was full, so that more old jobs may exist; else
            None.
        """
        started_at = self._clock()
        is_any_full = False
        periods = retention_periods(self._options.keep_successful, self._options.keep_failed)
        for state, period in periods.items():
            before = self._store.now(after=-period.total_seconds())
            old = self._store.finished_before(self._registration.backend, state, before=before)
            deleted = next(self._store.prune(old), 0)
            is_any_full = is_any_full or deleted >= MAX_ROWS_PER_STATEMENT
        return self._pause_after(started_at) if is_any_full else None

    def prune_keys(self) -> float | None:
        """Delete a batch of the keys of limits that are not in use.

        Returns:
            Seconds until the next batch; None after the last one.
        """
        started_at = self._clock()
        _, self._last_key = self._store.prune_keys(after=self._last_key)
        return self._pause_after(started_at) if self._last_key else None

    def prune_limits(self) -> None:
        """Delete limits that no code has had for so long that no job with them can be retried."""
        periods = (self._options.keep_successful, self._options.keep_failed)
        if any(period is None for period in periods):
            return
        unseen = max(MIN_UNSEEN, *(period for period in periods if period is not None))
        for name in self._store.prune_limits(unseen // timedelta(microseconds=1)):
            logger.info("Deleted the limit %r: no code has had it for %d days.", name, unseen.days)

    def find_deleted_parts(self) -> float | None:
        """Find workflows from which raw SQL has deleted parts, in a batch of all workflows.

        Returns:
            Seconds until the next batch; None after the last one.
        """
        started_at = self._clock()
        self._last_workflow = self._store.notice_incomplete(self._last_workflow)
        return None if self._last_workflow == FIRST_ID else self._pause_after(started_at)

    def _pause_after(self, started_at: float) -> float:
        """Return the seconds between a batch that began then and the next one."""
        return max(MIN_PRUNE_PAUSE, PRUNE_PAUSE_FACTOR * (self._clock() - started_at))

    def _update_suspects(self) -> None:
        """Find the workers whose lease has expired, and remember when each was first found."""
        # Cleared first: in an outage the query raises, and no worker can send a heartbeat.
        known, self._suspects = self._suspects, {}
        for worker, heartbeat_at in self._store.expired_workers().items():
            suspect = known.get(worker)
            if worker == self._registration.id:
                continue
            if suspect is None or suspect.heartbeat_at != heartbeat_at:
                suspect = _Suspect(heartbeat_at, self._clock())
            self._suspects[worker] = suspect

    def _silent_workers(self) -> list[UUID]:
        """Return the suspects that are dead: they sent no heartbeat for the confirmation time."""
        confirmed_since = self._clock() - self._confirmation
        return [
            worker for worker, suspect in self._suspects.items() if suspect.since <= confirmed_since
        ]

    def _publish(self, rescued: Sequence[FinishedJob]) -> None:
        """Notify workers and subscribers of rescued jobs, and send signals for finished ones."""
        failpoint("worker.rescued")
        logger.warning("Rescued %d jobs of workers that had died.", len(rescued))
        self._poller.jobs_made_ready()
        self._poller.jobs_run_again(rescued)
        self._pool.announce_finished(
            [(job, outcome) for job, outcome in rescued if JobState(outcome.state).is_finished]
        )
