"""Threads for sync jobs.

A thread takes the next job itself, so a batch of short jobs costs no hand-over. Each job runs in
a copy of one clean context: a language or time zone that it activates does not reach the next.
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
from offload.worker.runners.base import FinishReport, NumberedJob, OnFinish, Runner
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ThreadRunner(Runner):
    """Runs sync jobs in a fixed number of threads.

    Args:
        threads: their number.
        on_finish: called with the report of each job, in the thread that ran it.
        slots: where to write which jobs run; the first `threads` slots belong to this runner.
        using: alias in DATABASES where the jobs are stored.
        on_progress: called with the reporter of a running job when its progress changed.
    """

    def __init__(
        self,
        threads: int,
        on_finish: OnFinish,
        slots: SlotTable,
        using: str,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        super().__init__(on_finish, slots, on_progress)
        self.execute = partial(execute, on_progress=on_progress, using=using)
        self.has_work = threading.Condition()
        self._threads = [RunnerThread(self, slot) for slot in range(threads)]

    def submit(self, jobs: Sequence[NumberedJob]) -> None:
        self.waiting.extend(jobs)
        with self.has_work:
            self.has_work.notify(len(jobs))

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        if kind is JobCancelled:
            self.cancelled.add(key)
        for thread in self._threads:
            thread.interrupt(key, kind)

    def enforce_limits(self, now: float) -> None:
        for thread in self._threads:
            job = thread.job
            if job is None:
                continue
            if job.timeout is not None and now - thread.started_at > job.timeout:
                thread.interrupt(job.key, JobTimeout)
            elif job.key in self.cancelled:
                thread.interrupt(job.key, JobCancelled)

    def stop(self) -> None:
        self.is_stopped = True
        with self.has_work:
            self.has_work.notify_all()

    def abandon(self, key: ClaimKey) -> int | None:
        """Replace the thread that runs a job by a new one.

        Returns:
            the job's number, which will not be reported; None if the job has finished meanwhile.
        """
        for slot, thread in enumerate(self._threads):
            number = thread.abandon(key)
            if number is not None:
                self._threads[slot] = RunnerThread(self, slot)
                return number
        return None


class RunnerThread:
    """One thread of a ThreadRunner.

    It is also the context manager around the task's code, outside of which it is not interrupted.
    """

    def __init__(self, runner: ThreadRunner, slot: int) -> None:
        self.job: ClaimedJob | None = None
        self.started_at = 0.0
        self._number = 0
        self._runner = runner
        self._slot = slot
        self._lock = threading.Lock()
        self._is_in_task = False
        self._is_interrupted = False
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"offload-{slot}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        with self._lock:
            self._is_in_task = True
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_in_task = False
            if self._is_interrupted:  # withdraw the exception, which may not have been raised yet
                _set_async_exc(ctypes.c_ulong(threading.get_ident()), None)

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        """Raise `kind` in the task, once, if it is this job's task that runs."""
        with self._lock:
            job = self.job
            if job is None or job.key != key:
                return
            if self._is_in_task and not self._is_interrupted:
                self._is_interrupted = True
                _set_async_exc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(kind))

    def abandon(self, key: ClaimKey) -> int | None:
        """Make the thread exit after this job, without a report; return the job's number."""
        with self._lock:
            if self.job is None or self.job.key != key:
                return None
            self._is_abandoned = True
            return self._number

    def _run(self) -> None:
        runner = self._runner
        clean = contextvars.copy_context()
        while not self._is_abandoned:
            try:
                number, job = runner.waiting.popleft()
            except IndexError:
                if not self._wait_for_work():
                    break
                self._reset_connections()
                continue
            self._run_job(number, job, clean)
        self._reset_connections(close_all=True)

    def _wait_for_work(self) -> bool:
        """Wait for a job; return False once the runner is stopped and no job waits."""
        runner = self._runner
        with runner.has_work:
            if not runner.waiting and not runner.is_stopped:
                runner.has_work.wait()
        return bool(runner.waiting) or not runner.is_stopped

    def _reset_connections(self, *, close_all: bool = False) -> None:
        try:
            reset_connections(close_all=close_all)
        except Exception:
            logger.exception("Could not reset the database connections of a thread.")

    def _run_job(self, number: int, job: ClaimedJob, clean: contextvars.Context) -> None:
        runner, key = self._runner, job.key
        started_at = time.monotonic()
        if not runner.slots.start(self._slot, number, started_at, is_async=False):
            runner.skip(number, job)
            return
        with self._lock:
            self.job, self.started_at, self._number = job, started_at, number
            # Both are still set if the last interruption was raised within `__exit__` itself.
            self._is_in_task = self._is_interrupted = False
        is_cancelled = partial(runner.cancelled.__contains__, key)
        try:
            outcome = clean.copy().run(runner.execute, job, self, is_cancelled)
        except BaseException as error:  # noqa: BLE001  # every job must be reported
            outcome = failed(describe_exception(error))
        runner.cancelled.discard(key)
        self._reset_connections(close_all=self._is_interrupted)
        with self._lock:
            self.job = None
            is_abandoned = self._is_abandoned
        if is_abandoned:
            return
        runner.slots.finish(self._slot)
        run_seconds = time.monotonic() - started_at
        runner.on_finish(FinishReport(number, outcome, run_seconds, bool(runner.waiting)))
