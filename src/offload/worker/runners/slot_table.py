"""What runs where since when, in memory that another process can read.

The engine reads it without the help of the process that runs the jobs, which may be held by C
code or be dead: so it knows whom to kill, and which jobs had not begun.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

_MARK = struct.Struct("=Q?d")
_SINCE = struct.Struct("=d")
_SINCE_AT = _MARK.size - _SINCE.size


class SlotTable:
    """A table of places, one for each job that can run at once.

    A place keeps the number of its last job, so that a place is written by one thread only and
    the highest number of a lane is never lost, in whatever order its threads come to write.

    Args:
        places: how many.
        descriptor: of a file shared with the other process; None if there is no other.
    """

    def __init__(self, places: int, descriptor: int | None = None) -> None:
        size = places * _MARK.size
        self._memory: mmap.mmap | bytearray = bytearray(size)
        if descriptor is not None:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)

    def start(self, place: int, number: int, now: float, *, is_async: bool) -> None:
        """Write that a job begins here; jobs of a lane begin in the order of their numbers."""
        _MARK.pack_into(self._memory, place * _MARK.size, number, is_async, now)

    def finish(self, place: int) -> None:
        """Write that nothing runs here."""
        _SINCE.pack_into(self._memory, place * _MARK.size + _SINCE_AT, 0.0)

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield number and start (monotonic clock) of each job that runs."""
        for number, _, since in _MARK.iter_unpack(self._memory):
            if since:
                yield number, since

    def has_started(self, number: int, *, is_async: bool) -> bool:
        """Tell whether a job was begun, also if it has ended since."""
        begun = (last for last, lane, _ in _MARK.iter_unpack(self._memory) if lane is is_async)
        return number <= max(begun, default=0)
