"""Pauses the claims of a worker while its machine has too much to do."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from offload.worker.timers import NEVER, Timer

if TYPE_CHECKING:
    from offload.store.limit_records import LimitedRequest
    from offload.store.records import ClaimRequest

logger = logging.getLogger("offload.worker")

READ_INTERVAL = 5.0
"""Seconds between two reads of the load average: the kernel computes it as often."""
TRICKLE_INTERVAL = 60.0
"""Seconds after which a job of each kind is claimed all the same.

The load may stay high for ever, for example because of another program or a disk that hangs.
"""


class MachineLoad:
    """The load average of the machine over one minute, compared with its limit.

    Args:
        maximum: the load above which no jobs are claimed; None for no limit.
        on_change: called when claims pause and when they go on.
        clock: returns seconds.

    Attributes:
        current: the load, while it is above the limit; else None.
    """

    def __init__(
        self,
        maximum: float | None,
        on_change: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current: float | None = None
        self._maximum = maximum
        self._on_change = on_change
        self._clock = clock
        self._trickle_at = NEVER
        self.timer = Timer(self.read, READ_INTERVAL)
        if maximum is None:
            self.timer.due_at = NEVER

    @property
    def claims_pause(self) -> bool:
        """Whether no jobs are claimed now."""
        return self.current is not None and self._clock() < self._trickle_at

    def read(self) -> None:
        """Read the load; log when claims pause, and when they go on."""
        if self._maximum is None:
            return
        load = _load_average()
        was_high = self.current is not None
        self.current = load if load > self._maximum else None
        if was_high == (self.current is not None):
            return
        if was_high:
            logger.info("The load of this machine is %.1f: claiming jobs again.", load)
        else:
            self._trickle_at = self._clock() + TRICKLE_INTERVAL
            logger.warning(
                "The load of this machine is %.1f, above max_load %g: claiming only one job a "
                "minute until it falls.",
                load,
                self._maximum,
            )
        self._on_change()

    def narrow(
        self, request: ClaimRequest, limited: LimitedRequest | None
    ) -> tuple[ClaimRequest, LimitedRequest | None]:
        """Return requests for at most one job of each kind while the load is too high."""
        if self.current is None or not (request or limited):
            return request, limited
        self._trickle_at = self._clock() + TRICKLE_INTERVAL
        return _one_of_each(request), limited and _one_of_each(limited)


def _one_of_each[R: (ClaimRequest, LimitedRequest)](request: R) -> R:
    return replace(
        request,
        sync_slots=min(request.sync_slots, 1),
        async_slots=min(request.async_slots, 1),
    )


def _load_average() -> float:
    """Return the load average over one minute; 0 where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0
