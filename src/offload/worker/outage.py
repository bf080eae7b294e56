"""When to try the database again after an error."""

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

MAX_CONTENTIONS = 3
"""Lock conflicts in a row, after which the next one is treated and logged as an outage."""
MAX_CONTENTION_DELAY = 0.05
"""Seconds until a transaction that met a lock is retried, at most."""
MAX_RETRY_DELAY = 5.0
"""Seconds between two tries while the database does not respond, at most."""


class Outage:
    """The errors since the database answered last; true if there is an outage.

    Args:
        using: alias in DATABASES.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._failures = 0
        self._contentions = 0
        self.retry_at = 0.0
        """No query is sent before this time (monotonic clock)."""

    def __bool__(self) -> bool:
        return bool(self._failures)

    @property
    def is_contended(self) -> bool:
        """Whether the last try met a lock of another transaction."""
        return bool(self._contentions)

    def record(self, error: DatabaseError | InterfaceError) -> None:
        """Schedule the next try, with jitter; log the first error of an outage."""
        if is_contention(error) and self._contentions < MAX_CONTENTIONS:
            self._contentions += 1
            self._retry_within(MAX_CONTENTION_DELAY)
            return
        connections[self._using].close()
        if not self._failures:
            logger.error("%s Trying again.", explain(error, self._using))
        self._failures += 1
        self._retry_within(min(MAX_RETRY_DELAY, 0.05 * 2**self._failures))

    def clear(self) -> None:
        """Forget the errors, as the database answers."""
        self._failures = self._contentions = 0

    def _retry_within(self, seconds: float) -> None:
        self.retry_at = time.monotonic() + random.uniform(0, seconds)  # noqa: S311  # no secret
