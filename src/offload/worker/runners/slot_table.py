"""Which jobs run, in memory that the worker can read without the child's help.

Even if C code holds a child, or the child has died, the worker reads here which jobs exceed their
time limit and which had not started.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

_SLOT = struct.Struct("=Q?d")
"""Number of the slot's latest job, whether it is async, when it started (0 once finished)."""
_STARTED_AT = struct.Struct("=d")
_STARTED_AT_OFFSET = _SLOT.size - _STARTED_AT.size


class SlotTable:
    """A table with a slot for each job that can run at once.

    A slot keeps the number of its latest job. So each slot is written by one thread only, and the
    highest number of each kind of job is never lost, in whatever order threads write.

    Args:
        slots: their number.
        descriptor: a file shared with another process; None to keep the table in this process.
    """

    def __init__(self, slots: int, descriptor: int | None = None) -> None:
        size = slots * _SLOT.size
        self._memory: mmap.mmap | bytearray = bytearray(size)
        if descriptor is not None:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)

    def start(self, slot: int, number: int, now: float, *, is_async: bool) -> None:
        """Write that a job starts in a slot; jobs of a kind start in the order of their numbers."""
        _SLOT.pack_into(self._memory, slot * _SLOT.size, number, is_async, now)

    def finish(self, slot: int) -> None:
        """Write that the slot's job has finished."""
        _STARTED_AT.pack_into(self._memory, slot * _SLOT.size + _STARTED_AT_OFFSET, 0.0)

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield number and start (monotonic clock) of each running job."""
        for number, _, started_at in _SLOT.iter_unpack(self._memory):
            if started_at:
                yield number, started_at

    def has_started(self, number: int, *, is_async: bool) -> bool:
        """Return whether a job has started; also if it has finished since."""
        latest = 0
        for latest_of_slot, slot_is_async, _ in _SLOT.iter_unpack(self._memory):
            if slot_is_async is is_async:
                latest = max(latest, latest_of_slot)
        return number <= latest
