"""Jobs run in the worker's own process: embedded in a web server, or with `--processes 0`.

A task that neither finishes nor can be interrupted keeps its thread. The pool abandons the thread
and starts a new one, and a new event loop for async jobs. Only a process could be killed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import JobState, released
from offload.process_starts import announce_start
from offload.store.records import ClaimedJob, ClaimKey, EndedJob, FinishedJob
from offload.wakeup import Wakeup
from offload.worker.child.stop_signals import restore_stop_signals_in_forks
from offload.worker.execution.announcements import announce_ended_alone, announce_finished
from offload.worker.execution.announcing_threads import AnnouncingThreads
from offload.worker.limits_in_code import LimitsInCode, limits_in_code
from offload.worker.pools.base import (
    Pool,
    find_unresponsive,
    interrupted_outcome,
    unresponsive_outcome,
)
from offload.worker.pools.capacity import Capacity
from offload.worker.pools.run_times import RunTimes
from offload.worker.pools.waiting_jobs import WaitingJobs
from offload.worker.runners.base import FinishReport, Runner, split_by_kind
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.progress_buffer import ProgressBuffer
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.threads import ThreadRunner
from offload.worker.schedules_in_code import SchedulesInCode, schedules_in_code


class InProcessPool(Pool):
    """Runs jobs in threads and an event loop of the worker's own process.

    Args:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        async_threads: threads for their sync code.
        kill_grace_period: seconds that a job has to stop after an interruption.
        using: alias in DATABASES where the jobs are stored.
    """

    processes = 0
    abandoned = 0
    """How many jobs have finished although their code may still run."""
    _threads: ThreadRunner
    _event_loop: EventLoopRunner
    _waiting: dict[bool, WaitingJobs]

    def __init__(
        self,
        *,
        threads: int,
        async_slots: int,
        async_threads: int,
        kill_grace_period: float,
        using: str,
    ) -> None:
        self.threads = threads
        self._async_slots = async_slots
        self._async_threads = async_threads
        self._kill_grace_period = kill_grace_period
        self._using = using
        self._announcing = AnnouncingThreads(kill_grace_period / 2)
        self._capacity = Capacity(threads, async_slots, RunTimes())
        self._abandoned_loops: list[EventLoopRunner] = []
        self._cancelled_at: dict[ClaimKey, float] = {}
        self._reports: list[FinishReport] = []
        # It wakes no thread: the worker collects often enough while jobs run.
        self._progress_buffer = ProgressBuffer()
        self._progress: dict[ClaimKey, str] = {}
        self._wakeup = Wakeup()
        self._is_notified = False

    def start(self) -> None:
        restore_stop_signals_in_forks()
        announce_start(is_first=True)
        self._threads = ThreadRunner(
            self.threads,
            self._report,
            self._make_slots(),
            self._using,
            self._progress_buffer.add,
        )
        self._event_loop = self._make_event_loop()
        self._waiting = {
            False: self._make_waiting(self._threads, is_async=False),
            True: self._make_waiting(self._event_loop, is_async=True),
        }

    def limits_in_code(self) -> LimitsInCode:
        return limits_in_code()

    def schedules_in_code(self) -> SchedulesInCode | None:
        return schedules_in_code()

    def descriptors(self) -> tuple[list[int], list[int]]:
        return [self._wakeup.fileno()], []

    def capacity(self, *, is_async: bool) -> int:
        if self._waiting[is_async].is_suspended:
            return 0
        return self._capacity.free(is_async=is_async)

    def slots(self, *, is_async: bool) -> int:
        return self._capacity.slots(is_async=is_async)

    def free_slots(self, *, is_async: bool) -> int:
        if self._waiting[is_async].is_suspended:
            return 0
        return self._capacity.free_slots(is_async=is_async)

    def should_refill(self, *, is_async: bool) -> bool:
        if self._waiting[is_async].is_suspended:
            return False
        return self._capacity.should_refill(is_async=is_async)

    @property
    def is_backed_up(self) -> bool:
        return self._capacity.is_backed_up

    @property
    def linger(self) -> float:
        return self._capacity.linger

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        first = self._capacity.take(jobs)
        sync_jobs, async_jobs = split_by_kind(enumerate(jobs, first))
        self._threads.submit(sync_jobs)
        self._event_loop.submit(async_jobs)

    def collect(self) -> list[FinishedJob]:
        self._wakeup.clear()
        self._is_notified = False
        count = len(self._reports)
        reports = self._reports[:count]
        del self._reports[:count]
        if self._progress_buffer:
            self._read_progress()
        finished = self._capacity.settle(report[:3] for report in reports)
        if self._cancelled_at:
            for job, _ in finished:
                self._cancelled_at.pop(job.key, None)
        return finished

    def progress(self) -> dict[ClaimKey, str]:
        progress, self._progress = self._progress, {}
        return progress

    def enforce_limits(self) -> None:
        now = time.monotonic()
        for runner in self._runners:
            runner.enforce_limits(now)
        running = self._running()
        unresponsive = find_unresponsive(
            self._capacity,
            running,
            self._cancelled_at,
            kill_grace_period=self._kill_grace_period,
            now=now,
        )
        for number, job, kind in list(unresponsive):
            self._abandon(number, job, kind)
        stuck = self._capacity.detect_stuck(running)
        for is_async, waiting in self._waiting.items():
            self._report_released(waiting.step(now, is_stuck=is_async in stuck))

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        for key in keys:
            self._cancelled_at.setdefault(key, time.monotonic())
            for runner in self._runners:
                runner.interrupt(key, JobCancelled)

    def release_waiting(self) -> None:
        for waiting in self._waiting.values():
            waiting.take_back(time.monotonic())
            # At once: within one process, each thread sees what the others have written.
            self._report_released(waiting.taken_back(math.inf))

    def announce_finished(self, finished: Sequence[FinishedJob]) -> None:
        if finished:
            self._announcing.start(announce_finished, list(finished))

    def announce_ended(self, ended: Sequence[EndedJob]) -> None:
        if ended:
            self._announcing.start(announce_ended_alone, list(ended), self._using)

    @property
    def is_announcing(self) -> bool:
        return False

    def held_jobs(self) -> list[ClaimedJob]:
        return list(self._capacity.held.values())

    @property
    def is_empty(self) -> bool:
        return not self._capacity.held

    def running_jobs(self) -> list[ClaimedJob]:
        return self._capacity.jobs(self._running())

    def held_up_jobs(self) -> list[ClaimedJob]:
        """Return none: a job that held this process would hold the worker's loop, too."""
        return []

    def stop(self) -> None:
        for runner in self._runners:
            runner.stop()
        for number, job in self._capacity.held.items():
            self._threads.abandon(job.key)
            outcome = interrupted_outcome(job, "the worker was stopped")
            self._report(FinishReport(number, outcome, None))
        self._announcing.finish()

    def _running(self) -> list[tuple[int, float]]:
        """Return number and start of each running job."""
        return [entry for runner in self._runners for entry in runner.slots.running()]

    @property
    def _runners(self) -> tuple[Runner, ...]:
        return (self._threads, self._event_loop, *self._abandoned_loops)

    def _make_event_loop(self) -> EventLoopRunner:
        return EventLoopRunner(
            self._async_slots,
            self._async_threads,
            self._report,
            SlotTable(self._async_slots),
            first_slot=0,
            on_progress=self._progress_buffer.add,
        )

    def _make_slots(self) -> SlotTable:
        """Return where the threads write which jobs they start."""
        return SlotTable(self.threads)

    def _make_waiting(self, runner: Runner, *, is_async: bool) -> WaitingJobs:
        return WaitingJobs(runner.slots, self._capacity, is_async=is_async, process="This process")

    def _read_progress(self) -> None:
        """Store the progress of held jobs; an abandoned task may still report some."""
        held = {job.key for job in self._capacity.held.values()}
        progress = self._progress_buffer.read(time.monotonic())
        self._progress |= {key: text for key, text in progress.items() if key in held}

    def _abandon(self, number: int, job: ClaimedJob, kind: type[Interruption]) -> None:
        """Finish a job although its code may still run; its later report is ignored."""
        if not job.is_async and self._threads.abandon(job.key) is None:
            return
        if self._event_loop.is_running(job.key):
            self.release_waiting()
            self._event_loop.stop()  # its other jobs finish there
            self._abandoned_loops.append(self._event_loop)
            self._event_loop = self._make_event_loop()
            self._waiting[True] = self._make_waiting(self._event_loop, is_async=True)
        self.abandoned += 1
        outcome = unresponsive_outcome(job, kind)
        self._report(FinishReport(number, outcome, None))
        if JobState(outcome.state).is_finished:
            self.announce_finished([(job, outcome)])

    def _report_released(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._report(FinishReport(number, released(), None))

    def _report(self, report: FinishReport) -> None:
        """Add a report from any thread; notify once for all reports until the next `collect`."""
        self._reports.append(report)
        if not self._is_notified:
            self._is_notified = True
            self._wakeup.notify()
