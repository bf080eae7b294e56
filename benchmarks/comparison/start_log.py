"""The file to which jobs append a record when they start."""

from __future__ import annotations

import struct
from pathlib import Path

RECORD = struct.Struct("<qq")
LONG_RUN_SECONDS = 4
WARM_UP_SECONDS = 1.0
NANOSECONDS = 1e9


class StartLog:
    """Pairs of times in nanoseconds: when a job was sent, and when it started."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_bytes(b"")

    def clear(self) -> None:
        """Remove all records; processes that have the file open append to the same file."""
        self.path.write_bytes(b"")

    def count(self) -> int:
        return self.path.stat().st_size // RECORD.size

    def read(self) -> list[tuple[int, int]]:
        return list(RECORD.iter_unpack(self.path.read_bytes()))

    def rate(self) -> float:
        """Return the starts per second from the first to the last; long runs get a warm-up.

        The clock starts with the first job, so the start of the processes is not included.
        """
        starts = sorted(start for _, start in self.read())
        first, last = starts[0], starts[-1]
        if last - first > LONG_RUN_SECONDS * NANOSECONDS:
            first += int(WARM_UP_SECONDS * NANOSECONDS)
        counted = sum(start > first for start in starts)
        return counted / max((last - first) / NANOSECONDS, 1e-9)

    def delays(self) -> list[float]:
        """Return the seconds from each enqueue call to the start of its job."""
        return [(start - sent) / NANOSECONDS for sent, start in self.read()]
