"""What runs where since when, in memory that another process can read.

The engine reads it without the help of the process that runs the jobs, which may be held by C
code or be dead: so it knows whom to kill, and which jobs had not begun.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

_MARK = struct.Struct("=Qd")
_HIGH = struct.Struct("=QQ")


class Marks:
    """A table of places, one for each job that can run at once.

    Args:
        places: how many.
        descriptor: of a file shared with the other process; None if there is no other.
    """

    def __init__(self, places: int, descriptor: int | None = None) -> None:
        size = _HIGH.size + places * _MARK.size
        self._memory: mmap.mmap | bytearray = bytearray(size)
        if descriptor is not None:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
        self._places = places

    def begin(self, place: int, number: int, now: float, *, is_async: bool) -> None:
        """Write that a job begins here; jobs of a lane begin in the order of their numbers."""
        struct.pack_into("=Q", self._memory, 8 if is_async else 0, number)
        _MARK.pack_into(self._memory, _HIGH.size + place * _MARK.size, number, now)

    def end(self, place: int) -> None:
        """Write that nothing runs here."""
        _MARK.pack_into(self._memory, _HIGH.size + place * _MARK.size, 0, 0.0)

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield number and start (monotonic clock) of each job that runs."""
        for place in range(self._places):
            number, since = _MARK.unpack_from(self._memory, _HIGH.size + place * _MARK.size)
            if number:
                yield number, since

    def has_begun(self, number: int, *, is_async: bool) -> bool:
        """Tell whether a job was begun, also if it has ended since."""
        high = _HIGH.unpack_from(self._memory, 0)
        return bool(number <= high[is_async])
