"""Which jobs a process has claimed and started, in memory that its parent can read, too."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from uuid import UUID

from offload.store.records import ClaimedJob
from offload.worker.runners.slot_table import SlotTable, create_shared_memory

RING_JOBS = 2048
"""Jobs that are kept; a process holds fewer, and the oldest ones give way."""
_TAKEN_BACK, _STARTED, _HEADER_WORDS = 0, 1, 2
_JOB_WORDS = 4
"""A job's number, its id in two words, and its fence."""
_LOW = (1 << 64) - 1

type Claim = tuple[UUID, int]
"""Id and fence of a job."""


class HeldRing:
    """The sync jobs that a process with one thread for them has claimed last, by number.

    If the process is frozen, or a job holds its interpreter, its parent takes back the jobs that
    have not started. If the process was killed, its parent knows that these were not interrupted.

    Args:
        descriptor: of the memory; None to create it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        size = (_HEADER_WORDS + RING_JOBS * _JOB_WORDS) * 8
        if descriptor is None:
            descriptor = create_shared_memory()
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._words = memoryview(mmap.mmap(self.descriptor, size)).cast("Q")

    def add(self, first: int, jobs: Sequence[ClaimedJob]) -> None:
        """Write jobs before they may start, with the number of the first one."""
        words = self._words
        for number, job in enumerate(jobs, first):
            if not job.is_async:
                at = _HEADER_WORDS + number % RING_JOBS * _JOB_WORDS
                key = UUID(job.id).int
                words[at] = 0  # nobody may read half of a job
                words[at + 1], words[at + 2], words[at + 3] = key >> 64, key & _LOW, job.fence
                words[at] = number

    def start(self, number: int) -> bool:
        """Write that a job starts; return False if the parent has taken it back."""
        self._words[_STARTED] = number
        # Written first and read second: see `SlotTable.take_back`.
        return number > self._words[_TAKEN_BACK]

    def take_back(self, through: int) -> None:
        """Forbid the start of jobs up to a number; see `SlotTable.take_back`."""
        self._words[_TAKEN_BACK] = through

    def waiting(self) -> dict[int, Claim]:
        """Return the jobs that have not started, by number."""
        words, started = self._words, self._words[_STARTED]
        return {
            words[at]: (UUID(int=words[at + 1] << 64 | words[at + 2]), words[at + 3])
            for at in range(_HEADER_WORDS, len(words), _JOB_WORDS)
            if words[at] > started
        }

    def close(self) -> None:
        """Free the memory."""
        self._words.release()
        os.close(self.descriptor)


class SharedSlots(SlotTable):
    """Slots of sync jobs that the parent of the process can take back, too.

    Args:
        ring: the jobs of the process.
    """

    def __init__(self, ring: HeldRing) -> None:
        super().__init__(1)
        self._ring = ring

    def start(self, slot: int, number: int, now: float, *, is_async: bool) -> bool:
        may_start = self._ring.start(number)
        if not super().start(slot, number, now, is_async=is_async):
            return False
        if not may_start:
            self.finish(slot)
        return may_start
