"""How much memory a child process uses, and whether that is too much."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from offload.worker.pools.time_limits import MEMORY_INTERVAL

logger = logging.getLogger("offload.worker")

BYTES_PER_MEBIBYTE = 1024**2
KILL_FACTOR = 2
"""A process is killed during a job if it uses this many times as much as it may."""


class ChildMemory:
    """The memory of a child process, compared with its limit.

    Pages that processes share, such as those of the project that the fork server has loaded, are
    divided among them (PSS): only so the sum over all processes is what they use together.

    Args:
        pid: of the process.
        limit: bytes above which it is replaced; None for no limit.
        peak: returns the most bytes that it has used by its own account, where the kernel shows
            nothing to others.

    Attributes:
        used: the bytes that it uses, as last read.
    """

    def __init__(self, pid: int, limit: int | None, peak: Callable[[], int]) -> None:
        self.used = 0
        self._pid = pid
        self._limit = limit
        self._peak = peak
        self._base: int | None = None
        """The resident bytes before the first job."""
        self._read_at = 0.0

    def read(self, now: float) -> None:
        """Read the memory, if there is a limit; a process that has just become ready has a base."""
        if self._limit is None:
            return
        resident = resident_bytes(self._pid) or self._peak()
        if resident <= self._limit:
            self.used = resident
        elif now >= self._read_at:
            self._read_at = now + MEMORY_INTERVAL
            self.used = proportional_bytes(self._pid) or resident
        if self._base is None:
            self._base = resident
            if self.is_above_limit:
                _warn_of_low_limit(_mebibytes(self.used), _mebibytes(self._limit))

    @property
    def is_above_limit(self) -> bool:
        """Whether the process is to be replaced after its running jobs."""
        return self._limit is not None and self.used > self._limit

    @property
    def fault(self) -> str | None:
        """Why the process must be killed at once; None if it need not."""
        if self._limit is None or self.used <= KILL_FACTOR * max(self._limit, self._base or 0):
            return None
        return (
            f"it used {_mebibytes(self.used):,} MiB during a job, more than twice the "
            f"{_mebibytes(self._limit):,} MiB of max_memory_per_child"
        )

    def __str__(self) -> str:
        return f"{_mebibytes(self.used):,} MiB"


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(pid: int) -> int:
    """Return the memory of a process, of shared pages only its part; 0 where it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration, IndexError, ValueError):
        return 0


def _mebibytes(count: int) -> int:
    return round(count / BYTES_PER_MEBIBYTE)


@cache
def _warn_of_low_limit(used: int, limit: int) -> None:
    logger.warning(
        "A child process uses %d MiB before its first job, more than max_memory_per_child (%d "
        "MiB): each is replaced after one job. Raise the limit.",
        used,
        limit,
    )
