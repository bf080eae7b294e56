"""The worker's row in the database: its lease on the jobs that it holds."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.models import Worker
from offload.uuid7 import new_id
from offload.worker.cooldown import Cooldown
from offload.worker.upkeep.host_lock import HostLock

if TYPE_CHECKING:
    from uuid import UUID

    from offload.store.base import Store
    from offload.store.records import ClaimKey
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")


class Registration:
    """The row under which a worker holds jobs, and the lock that shows that it is running.

    A worker is identified by an id of its own, never by its host and process id.

    Args:
        store: the queue.
        backend: alias in TASKS whose jobs the worker runs.
        queues: names of the queues that it serves; empty for all.
        pool: runs the jobs.
        lease: seconds without a heartbeat after which other workers may take over its jobs.

    Attributes:
        high_load: the load of the machine, if the worker claims no jobs because of it.
    """

    def __init__(
        self, store: Store, backend: str, queues: Sequence[str], pool: Pool, lease: float
    ) -> None:
        self._store = store
        self.backend = backend
        self._queues = queues
        self._pool = pool
        self._lease = lease
        self.id = new_id()
        self.high_load: float | None = None
        self.host_lock = HostLock(store.address)
        self._is_registered = False
        self._renewed_at = 0.0
        """When the lease was renewed last (monotonic clock)."""
        self._cooldown = Cooldown()
        """The pause after a slow query for all jobs that the worker holds."""

    @property
    def key(self) -> str:
        """The worker's id as the store takes it."""
        return self._store.key(self.id)

    def ensure_registered(self) -> None:
        """Add the worker's row if it has none: without it the worker can claim no jobs."""
        if not self._is_registered:
            # Each try has a new id: if only the answer was lost, the row of the last try exists.
            self._register(new_id())

    def heartbeat(self) -> bool:
        """Renew the lease.

        Returns:
            False if the row was gone. The worker is registered again: under a new id if its lease
            had expired, so that others have taken over its jobs. Otherwise the table was emptied
            or rebuilt, and the worker keeps its id, and with it the jobs that it still holds.
        """
        failpoint("registration.heartbeat")
        now = time.monotonic()
        held_up = [job.key for job in self._pool.held_up_jobs()]
        if self._store.heartbeat(
            self.id, lease=self._lease, held_up=held_up, high_load=self.high_load
        ):
            self._renewed_at = now
            return True
        self._is_registered = False
        if now - self._renewed_at < self._lease:
            logger.error(
                "The row of this worker is gone from offload_worker, although its lease had not "
                "expired. Was the table emptied? Registering again."
            )
            self._register(self.id)
            return False
        logger.error(
            "No heartbeat for %s s: the lease expired and other workers took over the jobs. "
            "Continuing under a new worker id.",
            self._lease,
        )
        self.ensure_registered()
        return False

    def _register(self, worker_id: UUID) -> None:
        worker = Worker(
            pk=worker_id,
            backend=self.backend,
            hostname=socket.gethostname()[:255],
            pid=os.getpid(),
            queues=",".join(self._queues),
            processes=self._pool.processes,
            threads=self._pool.threads,
            high_load=self.high_load,
        )
        self.id = worker_id
        self.host_lock.acquire(self.id)
        self._renewed_at = time.monotonic()
        self._store.register(worker, lease=self._lease)
        failpoint("registration.entered")
        self._is_registered = True

    def held_jobs(self, known: Collection[ClaimKey]) -> dict[ClaimKey, bool]:
        """Return the jobs that the worker holds, and whether cancellation of each was requested.

        Args:
            known: the jobs that it should hold. Only these are read while the query for all is
                slow: an open transaction elsewhere keeps the index entries of earlier jobs.
        """
        if not self._cooldown.is_over:
            return self._store.held_jobs(self.id, among=known)
        with self._cooldown.measure():
            return self._store.held_jobs(self.id)

    def deregister(self) -> None:
        """Remove the row of the worker, which holds no jobs any more."""
        self._store.deregister(self.id)
        self.host_lock.release()
