"""The file in which jobs mark their start."""

from __future__ import annotations

import struct
from pathlib import Path

MARK = struct.Struct("<qq")
LONG_SECONDS = 4
WARM_UP = 1.0
NANOSECONDS = 1e9


class Marks:
    """Pairs of when a job was sent and when it started, in nanoseconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_bytes(b"")

    def clear(self) -> None:
        """Forget all of them; who has the file open appends to the same one."""
        self.path.write_bytes(b"")

    def count(self) -> int:
        return self.path.stat().st_size // MARK.size

    def read(self) -> list[tuple[int, int]]:
        return list(MARK.iter_unpack(self.path.read_bytes()))

    def rate(self) -> float:
        """Return starts per second from the first to the last; long runs get a second to warm up.

        The start of the first job begins the clock, so that the start of processes is left out.
        """
        starts = sorted(start for _, start in self.read())
        first, last = starts[0], starts[-1]
        if last - first > LONG_SECONDS * NANOSECONDS:
            first += int(WARM_UP * NANOSECONDS)
        counted = sum(start > first for start in starts)
        return counted / max((last - first) / NANOSECONDS, 1e-9)

    def delays(self) -> list[float]:
        """Return the seconds from each enqueue call to the start of its job."""
        return [(start - sent) / NANOSECONDS for sent, start in self.read()]
