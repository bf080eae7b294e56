"""The time in which the database does not answer the engine."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from django.db import connections

from offload.store.errors import explain, is_contention

if TYPE_CHECKING:
    from django.db import DatabaseError, InterfaceError

logger = logging.getLogger("offload.worker")

MANY = 3
"""Locks of others met in a row, after which it is like an outage, and told."""
CONTENTION_PAUSE = 0.05
"""Seconds after which a transaction is tried again that met another one's lock, at most."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries while the database does not answer."""


class Outage:
    """True while there is one.

    Args:
        using: alias in DATABASES.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._failures = 0
        self._contentions = 0
        self.retry_at = 0.0
        """Until then nothing is asked of the database."""

    def __bool__(self) -> bool:
        return bool(self._failures)

    @property
    def is_contended(self) -> bool:
        """Whether the last try met somebody else's lock."""
        return bool(self._contentions)

    def meet(self, error: DatabaseError | InterfaceError) -> None:
        """Plan to try again in a moment, with jitter; say so once."""
        if is_contention(error) and self._contentions < MANY:
            self._contentions += 1
            self.retry_at = time.monotonic() + random.uniform(0, CONTENTION_PAUSE)  # noqa: S311
            return
        connections[self._using].close()
        if not self._failures:
            logger.error("%s Trying again.", explain(error, self._using))
        self._failures += 1
        pause = min(LONGEST_PAUSE, 0.05 * 2**self._failures)
        self.retry_at = time.monotonic() + random.uniform(0, pause)  # noqa: S311  # no secret

    def end(self) -> None:
        """Take note that the database answers."""
        self._failures = self._contentions = 0
