"""A lane: it runs jobs in the order in which they are given, so many at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from offload.exceptions import Interruption
from offload.lifecycle import Outcome
from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob, ClaimKey
from offload.worker.runners.slot_table import SlotTable

type Numbered = tuple[int, ClaimedJob]


class FinishReport(NamedTuple):
    """A job that ended."""

    number: int
    outcome: Outcome
    seconds: float | None
    """How long it ran; None if it was not begun."""
    more: bool = False
    """Whether jobs wait behind it, whose reports may share its way."""


type ReportTo = Callable[[FinishReport], None]


class Runner(ABC):
    """Runs jobs; reports each that ended from whatever thread it ran in.

    Args:
        report: called with each job that ended, in the thread that ran it.
        slot_table: where to write what runs, and since when.
        on_progress: called with the reporter of a running job that moved.
    """

    def __init__(
        self, report: ReportTo, slot_table: SlotTable, on_progress: OnProgress = ignore_progress
    ) -> None:
        self.report = report
        self.slot_table = slot_table
        self.on_progress = on_progress
        self.waiting: deque[Numbered] = deque()
        self.cancelled: set[ClaimKey] = set()
        """Jobs that somebody wants cancelled, begun or not."""
        self.stopped = False

    @abstractmethod
    def submit(self, jobs: Sequence[Numbered]) -> None:
        """Run jobs, as soon as there is a place."""

    def release_waiting(self) -> list[int]:
        """Forget the jobs that have not begun; return their numbers."""
        numbers = []
        while self.waiting:
            try:
                numbers.append(self.waiting.pop()[0])
            except IndexError:  # a place was faster
                break
        return numbers

    @abstractmethod
    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        """Raise an exception inside a running job, if it can be reached."""

    @abstractmethod
    def enforce_limits(self, now: float) -> None:
        """Interrupt the jobs that ran longer than their time limit."""

    @abstractmethod
    def stop(self) -> None:
        """End the lane when what runs has ended; take no more jobs."""
