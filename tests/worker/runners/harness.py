"""Runners for tests, and their reports."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any
from uuid import UUID

from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob
from offload.worker.runners.base import FinishReport, OnFinish, Runner
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.threads import ThreadRunner
from tests.worker import event_log
from tests.worker.job_runs import claimed

LIMIT = 20
"""Seconds to wait for a report."""

type MakeRunner = Callable[[int, OnFinish, SlotTable, OnProgress], Runner]


def make_threads(
    count: int, on_finish: OnFinish, slots: SlotTable, on_progress: OnProgress
) -> Runner:
    return ThreadRunner(count, on_finish, slots, "default", on_progress)


def make_event_loop(
    count: int, on_finish: OnFinish, slots: SlotTable, on_progress: OnProgress
) -> Runner:
    return EventLoopRunner(count, 2, on_finish, slots, first_slot=0, on_progress=on_progress)


class Harness:
    """A runner with its slot table, and the reports that it made."""

    def __init__(
        self, make: MakeRunner, slots: int = 1, on_progress: OnProgress = ignore_progress
    ) -> None:
        self._reports: queue.Queue[FinishReport] = queue.Queue()
        self.slots = SlotTable(slots)
        self.runner: Any = make(slots, self._reports.put, self.slots, on_progress)
        self._number = 0

    def submit(self, *jobs: ClaimedJob) -> list[int]:
        """Submit jobs as one batch; return their numbers."""
        first = self._number + 1
        self._number += len(jobs)
        self.runner.submit(list(enumerate(jobs, first)))
        return list(range(first, first + len(jobs)))

    def report(self) -> FinishReport:
        """Return the next report."""
        return self._reports.get(timeout=LIMIT)

    @property
    def has_report(self) -> bool:
        return not self._reports.empty()

    def run(self, task: Any, *arguments: Any) -> FinishReport:
        """Run one job and return its report."""
        (number,) = self.submit(claimed(task, *arguments))
        report = self.report()
        assert report.number == number
        return report

    def running(self) -> set[int]:
        """Return the numbers of the running jobs."""
        return {number for number, _ in self.slots.running()}


def has_started(job: ClaimedJob) -> bool:
    """Return whether the task's code has started, for tasks that log it."""
    return bool(event_log.entries("running", str(UUID(job.id))))


class RaisesOnce:
    """Raises at the first call, and then calls the real function."""

    def __init__(self, error: BaseException, real: Any) -> None:
        self._error: BaseException | None = error
        self._real = real

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._real(*args, **kwargs)
