"""The contract of runners: a runner runs jobs in the order in which it gets them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from offload.exceptions import Interruption
from offload.lifecycle import Outcome, released
from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob, ClaimKey
from offload.worker.runners.slot_table import SlotTable

type NumberedJob = tuple[int, ClaimedJob]
"""A job and the number by which the pool and its runners refer to it. Numbers only grow."""


def split_by_kind(jobs: Iterable[NumberedJob]) -> tuple[list[NumberedJob], list[NumberedJob]]:
    """Return the sync jobs and the async jobs."""
    sync_jobs: list[NumberedJob] = []
    async_jobs: list[NumberedJob] = []
    for numbered in jobs:
        if numbered[1].is_async:
            async_jobs.append(numbered)
        else:
            sync_jobs.append(numbered)
    return sync_jobs, async_jobs


class FinishReport(NamedTuple):
    """The report of a job that finished, or that is released without a start."""

    number: int
    outcome: Outcome
    run_seconds: float | None
    """None if the job was not started."""
    more_follow: bool = False
    """Whether other jobs wait behind it or finish soon, so that reports may be sent together."""


type OnFinish = Callable[[FinishReport], None]


class Runner(ABC):
    """Runs jobs of one kind, a limited number of them at once, and reports each.

    Args:
        on_finish: called with the report of each job, in the thread that ran it.
        slots: where to write which jobs run.
        on_progress: called with the reporter of a running job when its progress changed.
    """

    def __init__(
        self, on_finish: OnFinish, slots: SlotTable, on_progress: OnProgress = ignore_progress
    ) -> None:
        self.on_finish = on_finish
        self.slots = slots
        self.on_progress = on_progress
        self.waiting: deque[NumberedJob] = deque()
        self.cancelled: set[ClaimKey] = set()
        """Jobs to cancel, started or not."""
        self.is_stopped = False

    @abstractmethod
    def submit(self, jobs: Sequence[NumberedJob]) -> None:
        """Run jobs as soon as slots are free."""

    def skip(self, number: int, job: ClaimedJob) -> None:
        """Report a job that the worker has taken back; it may not know that it never started."""
        self.cancelled.discard(job.key)
        self.on_finish(FinishReport(number, released(), None, bool(self.waiting)))

    @abstractmethod
    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        """Raise an exception inside a running job, if its code can be reached.

        `JobCancelled` for a job that has not started is raised once `enforce_limits` finds it
        running.
        """

    @abstractmethod
    def enforce_limits(self, now: float) -> None:
        """Interrupt the jobs that exceed their time limit or are to be cancelled.

        Args:
            now: monotonic clock.
        """

    @abstractmethod
    def stop(self) -> None:
        """Accept no more jobs, and exit when the waiting and running ones have finished."""
