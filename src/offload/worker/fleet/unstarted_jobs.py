"""The jobs of a child process that its parent takes back before they have started."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from offload.worker.fleet.held_ring import Claim, HeldRing
from offload.worker.pools.waiting_jobs import VISIBLE_AFTER


class UnstartedJobs:
    """The jobs that a process has claimed and not started.

    Args:
        pid: of the process.
        descriptor: that of its `HeldRing` in the process. Where the kernel does not let others
            open it, as on macOS, nothing is found here.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.descriptor = descriptor
        self._ring: HeldRing | None = None
        path = Path(f"/proc/{pid}/fd/{descriptor}")
        with suppress(OSError):
            # The process may have exited, and another one have its id and a file in its place.
            if str(path.readlink()).startswith("/memfd:offload"):
                self._ring = HeldRing(os.open(path, os.O_RDWR))
        self._through = 0
        """The last job that was taken back."""
        self._visible_at: float | None = None
        """When it can be seen which of these jobs had started; None if none is to be given back."""

    def take_back(self, now: float) -> AbstractSet[Claim]:
        """Take back the jobs of a process that does not respond; return them a moment later.

        They are returned again until `forget` is called.

        Args:
            now: monotonic clock.
        """
        if self._ring is None:
            return frozenset()
        waiting = self._ring.waiting()
        if self._visible_at is None and max(waiting, default=0) > self._through:
            self._through = max(waiting)
            self._ring.take_back(self._through)
            self._visible_at = now + VISIBLE_AFTER
        elif self._visible_at is not None and now >= self._visible_at:
            found = {claim for number, claim in waiting.items() if number <= self._through}
            if not found:
                self.forget()
            return found
        return frozenset()

    def forget(self) -> None:
        """Return no more the jobs that were taken back."""
        self._visible_at = None

    def of_dead(self) -> AbstractSet[Claim]:
        """Return the jobs that a process had not started when it died."""
        return set() if self._ring is None else set(self._ring.waiting().values())

    def close(self) -> None:
        """Free the memory."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
