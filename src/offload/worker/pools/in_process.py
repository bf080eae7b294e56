"""Jobs run in this very process: the engine embedded in a web server, or `--processes 0`.

A task that neither ends nor can be interrupted keeps its thread; the pool gives the thread up
and starts another one, and another event loop for async tasks. Only a process could be killed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from threading import Thread

from django.db import connections

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import JobState, released
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.execution.executor import announce_finished
from offload.worker.pools.base import Pool, interrupted_outcome, overdue, unresponsive_outcome
from offload.worker.pools.capacity import Capacity
from offload.worker.pools.run_times import RunTimes
from offload.worker.runners.base import FinishReport, Runner
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.progress_buffer import ProgressBuffer
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.threads import ThreadRunner


class InProcessPool(Pool):
    """Args:
    threads: how many tasks written with def run at once.
    async_slots: how many tasks written with async def run at once.
    kill_grace_period: seconds that a job has to stop after it was told.
    using: alias in DATABASES where the jobs are stored.
    """

    processes = 0

    def __init__(
        self, *, threads: int, async_slots: int, kill_grace_period: float, using: str
    ) -> None:
        self.threads = threads
        self._slots = async_slots
        self._grace = kill_grace_period
        self._using = using
        self._capacity = Capacity(threads, async_slots, RunTimes())
        self._given_up: list[EventLoopRunner] = []
        self._cancels: dict[ClaimKey, float] = {}
        self._reports: list[FinishReport] = []
        self._progress_buffer = (
            ProgressBuffer()
        )  # nobody is woken: the engine looks often enough while jobs run
        self._progress: dict[ClaimKey, str] = {}
        self._rung = False

    def start(self) -> None:
        self._news, self._bell = os.pipe()
        os.set_blocking(self._news, False)
        os.set_blocking(self._bell, False)
        slot_table = SlotTable(self.threads)
        self._threads = ThreadRunner(
            self.threads, self._report, slot_table, self._using, self._progress_buffer.add
        )
        self._loop = self._new_loop()

    def descriptors(self) -> tuple[list[int], list[int]]:
        return [self._news], []

    def capacity(self, *, is_async: bool) -> int:
        return self._capacity.free(is_async=is_async)

    def should_refill(self, *, is_async: bool) -> bool:
        return self._capacity.should_refill(is_async=is_async)

    @property
    def is_backed_up(self) -> bool:
        return self._capacity.is_backed_up

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        numbered = list(enumerate(jobs, self._capacity.take(jobs)))
        self._threads.submit([pair for pair in numbered if not pair[1].is_async])
        self._loop.submit([pair for pair in numbered if pair[1].is_async])

    def collect(self) -> list[FinishedJob]:
        with contextlib.suppress(BlockingIOError):
            os.read(self._news, 4096)
        self._rung = False
        count = len(self._reports)
        reports = self._reports[:count]
        del self._reports[:count]
        if self._progress_buffer:
            self._read_progress()
        ended = self._capacity.settle(report[:3] for report in reports)
        if self._cancels:
            for job, _ in ended:
                self._cancels.pop(job.key, None)
        return ended

    def progress(self) -> dict[ClaimKey, str]:
        moved, self._progress = self._progress, {}
        return moved

    def enforce_limits(self) -> None:
        now = time.monotonic()
        for lane in self._lanes:
            lane.enforce_limits(now)
        running = [pair for lane in self._lanes for pair in lane.slot_table.running()]
        limits = {"kill_grace_period": self._grace, "now": now}
        for number, kind in list(overdue(self._capacity, running, self._cancels, **limits)):
            self._give_up(number, kind)
        if self._capacity.is_stuck(running, now):
            self.release_waiting()

    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        for key in keys:
            self._cancels.setdefault(key, time.monotonic())
            for lane in self._lanes:
                lane.interrupt(key, JobCancelled)

    def release_waiting(self) -> None:
        for lane in self._lanes:
            for number in lane.release_waiting():
                self._report(FinishReport(number, released(), None))

    def announce_finished(self, ended: Sequence[FinishedJob]) -> None:
        if ended:  # receivers may take their time, and the engine has none
            Thread(target=_announce, args=(list(ended),), daemon=True).start()

    def held_jobs(self) -> list[ClaimedJob]:
        return list(self._capacity.held.values())

    def stop(self) -> None:
        for lane in self._lanes:
            lane.stop()
        for number, job in self._capacity.held.items():
            self._threads.abandon(job.key)
            self._report(
                FinishReport(number, interrupted_outcome(job, "the worker was stopped"), None)
            )

    @property
    def _lanes(self) -> tuple[Runner, ...]:
        return (self._threads, self._loop, *self._given_up)

    def _new_loop(self) -> EventLoopRunner:
        slot_table = SlotTable(self._slots)
        return EventLoopRunner(
            self._slots, self._report, slot_table, first=0, on_progress=self._progress_buffer.add
        )

    def _read_progress(self) -> None:
        """Note how far jobs are, but not those that were given up and go on all the same."""
        held = {job.key for job in self._capacity.held.values()}
        stand = self._progress_buffer.read(time.monotonic())
        self._progress |= {key: text for key, text in stand.items() if key in held}

    def _give_up(self, number: int, kind: type[Interruption]) -> None:
        """End a job here although its code may go on; nobody will hear of it again."""
        job = self._capacity.held[number]
        if not job.is_async and self._threads.abandon(job.key) is None:
            return
        if self._loop.runs(job.key):
            self.release_waiting()
            self._loop.stop()  # its other jobs go on
            self._given_up.append(self._loop)
            self._loop = self._new_loop()
        outcome = unresponsive_outcome(job, kind)
        self._report(FinishReport(number, outcome, None))
        if JobState(outcome.state).is_finished:
            self.announce_finished([(job, outcome)])

    def _report(self, report: FinishReport) -> None:
        """Take in a report from any thread; ring once for all that come before `collect`."""
        self._reports.append(report)
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):
                os.write(self._bell, b"!")


def _announce(ended: Sequence[FinishedJob]) -> None:
    for job, outcome in ended:
        announce_finished(job, outcome)
    connections.close_all()
