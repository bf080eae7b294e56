"""Outcomes on their way to the database. None is lost: it leaves when it has been written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError

from offload import lifecycle
from offload.lifecycle import JobFailure
from offload.store.base import Store
from offload.store.records import Ended, Exchange, Key, Room

logger = logging.getLogger("offload.worker")

BATCH = 1000
"""Outcomes written in one transaction."""
BATCH_SIZE = 4 * 1024**2
"""Characters of return values written in one transaction: MariaDB's packets end at 16 MiB."""
SUSPICIOUS = 3
"""Failures in a row after which outcomes are written one by one, to find one that cannot be."""


class Outbox:
    """Args:
    store: where the outcomes are written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Ended] = []
        self._failures = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def keys(self) -> set[Key]:
        """The jobs whose outcomes wait here."""
        return {job.key for job, _ in self._waiting}

    def add(self, ended: Iterable[Ended]) -> None:
        """Take in outcomes that are to be written."""
        self._waiting += [pair for pair in ended if not pair[1].written]

    def next_batch(self) -> list[Ended]:
        """Return the outcomes to be written next; they stay here until they are."""
        most = 1 if self._failures >= SUSPICIOUS else BATCH
        size = 0
        for count, (_, outcome) in enumerate(self._waiting[:most]):
            size += len(outcome.return_value or "")
            if size > BATCH_SIZE:
                return self._waiting[: max(count, 1)]
        return self._waiting[:most]

    def exchange(self, worker: str, batch: Sequence[Ended], room: Room) -> Exchange:
        """Write a batch and claim jobs; forget the batch when both are committed."""
        exchange = self._store.exchange(worker, batch, room)
        del self._waiting[: len(batch)]
        self._failures = 0 if not self._waiting else self._failures
        return exchange

    def suspect(self, error: DatabaseError | InterfaceError) -> None:
        """Take note that a batch was not written. One that never can be becomes a failure.

        Only errors that are about the data count: any other, such as that of a server which is
        read-only for a while, will pass.
        """
        if not self._waiting:
            return
        self._failures += 1
        alone = self._failures > SUSPICIOUS and self._failures % SUSPICIOUS == 0
        if alone and isinstance(error, DataError | IntegrityError):
            job, _ = self._waiting[0]
            logger.error("The outcome of job %s cannot be stored: %s", job.id, error)
            message = f"The outcome cannot be stored: {error}"
            failure = JobFailure("offload.exceptions.InvalidResult", message[:2000], message[:2000])
            self._waiting[0] = (job, lifecycle.failed(failure))
