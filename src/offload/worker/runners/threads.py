"""Threads for tasks written with def.

A thread takes the next job by itself as long as there is one, so that a batch of short jobs
costs no hand-over. A job runs in a copy of one clean context: what it activates (a language, a
time zone) does not reach the next one.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Self

from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import failed
from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob, ClaimKey
from offload.worker.execution.connections import reset_connections
from offload.worker.execution.executor import execute
from offload.worker.execution.tracebacks import describe_exception
from offload.worker.runners.base import FinishReport, Numbered, ReportTo, Runner
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ThreadRunner(Runner):
    """Args:
    threads: how many.
    report: called with each job that ended, in the thread that ran it.
    slot_table: where to write what runs; the first `threads` places are this lane's.
    using: alias in DATABASES where the jobs are stored.
    on_progress: called with the reporter of a running job that moved.
    """

    def __init__(
        self,
        threads: int,
        report: ReportTo,
        slot_table: SlotTable,
        using: str,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        super().__init__(report, slot_table, on_progress)
        self.execute = partial(execute, on_progress=on_progress, using=using)
        self.news = threading.Condition()
        self._seats = [RunnerThread(self, place) for place in range(threads)]

    def submit(self, jobs: Sequence[Numbered]) -> None:
        self.waiting.extend(jobs)
        with self.news:
            self.news.notify(len(jobs))

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        if kind is JobCancelled:
            self.cancelled.add(key)
        for seat in self._seats:
            seat.interrupt(key, kind)

    def enforce_limits(self, now: float) -> None:
        for seat in self._seats:
            job = seat.job
            if job is None:
                continue
            if job.timeout is not None and now - seat.since > job.timeout:
                seat.interrupt(job.key, JobTimeout)
            elif job.key in self.cancelled:
                seat.interrupt(job.key, JobCancelled)

    def stop(self) -> None:
        self.stopped = True
        with self.news:
            self.news.notify_all()

    def abandon(self, key: ClaimKey) -> int | None:
        """Give up the thread that runs a job and start another in its place.

        Returns:
            the job's number, which will not be reported; None if it has ended meanwhile.
        """
        for place, seat in enumerate(self._seats):
            number = seat.abandon(key)
            if number is not None:
                self._seats[place] = RunnerThread(self, place)
                return number
        return None


class RunnerThread:
    """One thread. Also the gate around the task's code: only there it can be interrupted."""

    def __init__(self, lane: ThreadRunner, place: int) -> None:
        self.job: ClaimedJob | None = None
        self.since = 0.0
        self._number = 0
        self._lane = lane
        self._place = place
        self._lock = threading.Lock()
        self._open = False
        self._interrupted = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"offload-{place}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        with self._lock:
            self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open = False
            if self._interrupted:  # it may not have been raised yet
                _set_async_exc(ctypes.c_ulong(threading.get_ident()), None)

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        """Raise `kind` in the task, once, if it is this job's task that runs."""
        with self._lock:
            job = self.job
            if self._open and not self._interrupted and job is not None and job.key == key:
                self._interrupted = True
                _set_async_exc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(kind))

    def abandon(self, key: ClaimKey) -> int | None:
        with self._lock:
            if self.job is None or self.job.key != key:
                return None
            self._abandoned = True
            return self._number

    def _run(self) -> None:
        lane = self._lane
        clean = contextvars.copy_context()
        while not self._abandoned:
            try:
                number, job = lane.waiting.popleft()
            except IndexError:
                if not self._wait():
                    break
                continue
            self._run_one(number, job, clean)
        self._leave_clean(all_connections=True)

    def _wait(self) -> bool:
        """Wait for a job; return False when the lane was stopped."""
        lane = self._lane
        with lane.news:
            if not lane.waiting and not lane.stopped:
                lane.news.wait()
        return bool(lane.waiting) or not lane.stopped

    def _leave_clean(self, *, all_connections: bool) -> None:
        try:
            reset_connections(spoiled=all_connections)
        except Exception:
            logger.exception("A connection could not be left clean.")

    def _run_one(self, number: int, job: ClaimedJob, clean: contextvars.Context) -> None:
        lane, key = self._lane, job.key
        begun = time.monotonic()
        lane.slot_table.start(self._place, number, begun, is_async=False)
        with self._lock:
            self.job, self.since, self._number = job, begun, number
            # Open still, if the exception came as the gate was closing.
            self._open = self._interrupted = False
        is_cancelled = partial(lane.cancelled.__contains__, key)
        try:
            outcome = clean.copy().run(lane.execute, job, self, is_cancelled)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the job must be reported
            outcome = failed(describe_exception(error))
        lane.cancelled.discard(key)
        self._leave_clean(all_connections=self._interrupted)
        with self._lock:
            self.job = None
            abandoned = self._abandoned
        if abandoned:
            return
        lane.slot_table.finish(self._place)
        lane.report(FinishReport(number, outcome, time.monotonic() - begun, bool(lane.waiting)))
