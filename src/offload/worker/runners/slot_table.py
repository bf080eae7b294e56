"""Which jobs run, in memory that the worker can read and write without the child's help.

Even if C code holds a child, or the child was stopped or has died, the worker reads here which jobs
exceed their time limit and which have not started, and takes the latter back.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from contextlib import suppress

_WORD_BYTES = 8
_HEADER_WORDS = 5
_SENT = 2
"""Index of the number of messages that the child has sent; before it, what was taken back."""
_ANSWERED = 3
"""Index of the number of pings that the child has answered."""
_PEAK_MEMORY = 4
"""Index of the most bytes that the child has used, where the worker cannot read its memory."""


def create_shared_memory() -> int:
    """Return the descriptor of a new file in memory, for a table that two processes share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("offload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SlotTable:
    """A table with a slot for each job that can run at once.

    A slot keeps the number of its latest job. So each slot is written by one thread only, and the
    highest number of each kind of job is never lost, in whatever order threads write.

    Every value is one aligned word, which no reader ever sees half written.

    Args:
        slots: their number.
        descriptor: a file shared with another process; None to keep the table in this process.
    """

    def __init__(self, slots: int, descriptor: int | None = None) -> None:
        size = (_HEADER_WORDS + 2 * slots) * _WORD_BYTES
        memory: mmap.mmap | bytearray = bytearray(size)
        if descriptor is not None:
            os.ftruncate(descriptor, size)
            _forbid_shrinking(descriptor)
            memory = mmap.mmap(descriptor, size)
        words = memoryview(memory)
        numbers_at, times_at = _HEADER_WORDS * _WORD_BYTES, (_HEADER_WORDS + slots) * _WORD_BYTES
        self._header = words[:numbers_at].cast("Q")
        self._latest = words[numbers_at:times_at].cast("Q")
        """Twice the number of the slot's latest job, and one more if it is async."""
        self._started_at = words[times_at:].cast("d")
        """When it started; 0 once it has finished."""

    def start(self, slot: int, number: int, now: float, *, is_async: bool) -> bool:
        """Write that a job starts in a slot; jobs of a kind start in the order of their numbers.

        Returns:
            False if the worker has taken the job back: then it must not run here.
        """
        self._started_at[slot] = now
        self._latest[slot] = 2 * number + is_async
        # Written first and read second: see `take_back`.
        if number > self._header[is_async]:
            return True
        self._started_at[slot] = 0.0
        return False

    def finish(self, slot: int) -> None:
        """Write that the slot's job has finished."""
        self._started_at[slot] = 0.0

    def take_back(self, through: int, *, is_async: bool) -> None:
        """Forbid the start of jobs up to a number; those that started before it go on.

        A job whose start is not in the table a moment later has not started, and never will.
        The child writes a start before it reads which jobs were taken back. If it read too early
        to see this call, its own write is visible to the worker a moment later, even if the child
        was stopped in between: processors delay writes by less than a millisecond.
        """
        self._header[is_async] = through

    def running(self) -> list[tuple[int, float]]:
        """Return number and start (monotonic clock) of each running job."""
        slots = zip(self._latest.tolist(), self._started_at.tolist(), strict=True)
        return [(latest >> 1, started_at) for latest, started_at in slots if started_at]

    def count_running(self, *, is_async: bool) -> int:
        """Return how many jobs of a kind are running."""
        slots = zip(self._latest.tolist(), self._started_at.tolist(), strict=True)
        return sum(word & 1 == is_async for word, started_at in slots if started_at)

    def latest(self, *, is_async: bool) -> int:
        """Return the highest number of the jobs of a kind that have started; 0 if none has."""
        return max((word >> 1 for word in self._latest.tolist() if word & 1 == is_async), default=0)

    def has_started(self, number: int, *, is_async: bool) -> bool:
        """Return whether a job has started; also if it has finished since."""
        return number <= self.latest(is_async=is_async)

    def count_sent(self) -> None:
        """Count a message that the child has sent completely."""
        self._header[_SENT] += 1

    @property
    def sent(self) -> int:
        """How many messages the child has sent."""
        return self._header[_SENT]

    def count_answered(self) -> None:
        """Count a ping of the worker, by which the child answers it."""
        self._header[_ANSWERED] += 1

    @property
    def answered(self) -> int:
        """How many pings the child has answered."""
        return self._header[_ANSWERED]

    @property
    def peak_memory(self) -> int:
        """The most bytes that the child has used; 0 if it has not written them."""
        return self._header[_PEAK_MEMORY]

    @peak_memory.setter
    def peak_memory(self, count: int) -> None:
        self._header[_PEAK_MEMORY] = count


def _forbid_shrinking(descriptor: int) -> None:
    """Keep a task from shrinking the file, which would kill whoever reads behind its end."""
    if hasattr(fcntl, "F_ADD_SEALS"):
        with suppress(OSError):  # it is a file on a disk
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
