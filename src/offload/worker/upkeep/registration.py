"""The engine's row in the table of engines: its lease on the jobs it holds."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from offload.failpoints import failpoint
from offload.models import Worker
from offload.uuid7 import new_id
from offload.worker.cooldown import Cooldown
from offload.worker.upkeep.host_lock import HostLock

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.store.records import ClaimKey
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")


class Registration:
    """An engine's identity is an id of its own, never its host and process id."""

    def __init__(
        self, store: Store, backend: str, queues: Sequence[str], pool: Pool, lease: float
    ) -> None:
        self._store = store
        self.backend = backend
        self._queues = queues
        self._pool = pool
        self._lease = lease
        self.id = new_id()
        self.presence = HostLock(store.address)
        self._is_entered = False
        self._counting = Cooldown()

    @property
    def key(self) -> str:
        """The id as the store takes it."""
        return self._store.key(self.id)

    def ensure(self) -> None:
        """Register the engine, if it is not, so that it may hold jobs."""
        if self._is_entered:
            return
        worker = Worker(
            backend=self.backend,
            hostname=socket.gethostname()[:255],
            pid=os.getpid(),
            queues=",".join(self._queues),
            processes=self._pool.processes,
            threads=self._pool.threads,
        )
        # If the answer is lost, the row may stand there: a second try needs another id.
        self.id = new_id()
        worker.pk = self.id
        self.presence.enter(self.id)
        self._store.register(worker, lease=self._lease)
        failpoint("registration.entered")
        self._is_entered = True

    def beat(self) -> bool:
        """Renew the lease. Return False if it had been taken: then the engine has a new id."""
        failpoint("registration.heartbeat")
        if self._store.heartbeat(self.id, lease=self._lease):
            return True
        logger.error(
            "This engine did not beat for %s s and was taken for dead. Its jobs run elsewhere; "
            "it goes on under a new id.",
            self._lease,
        )
        self._is_entered = False
        self.ensure()
        return False

    def holdings(self, known: Collection[ClaimKey]) -> dict[ClaimKey, bool]:
        """Return the jobs that the engine holds, and which of them somebody wants cancelled.

        Args:
            known: jobs that it should hold; for a while only these are asked for, if it takes
                long to find all of them (a transaction elsewhere keeps entries of earlier ones).
        """
        if not self._counting.is_over:
            return self._store.held_jobs(self.id, among=known)
        with self._counting.after():
            return self._store.held_jobs(self.id)

    def leave(self) -> None:
        """Remove the engine, which holds no job any more."""
        self._store.deregister(self.id)
        self.presence.leave()
