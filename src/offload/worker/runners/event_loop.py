"""One event loop for async jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, Self

from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import Outcome, failed
from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob, ClaimKey
from offload.worker.execution.executor import execute_async
from offload.worker.execution.tracebacks import describe_exception
from offload.worker.runners.async_threads import AsyncThreads, Borrower
from offload.worker.runners.base import FinishReport, NumberedJob, OnFinish, Runner
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")


class EventLoopRunner(Runner):
    """Runs async jobs on one event loop, in a thread of its own.

    Args:
        async_slots: how many jobs run at once.
        async_threads: the number of threads for their sync code.
        on_finish: called with the report of each job, in the loop's thread.
        slots: where to write which jobs run.
        first_slot: the first of this runner's slots.
        on_progress: called with the reporter of a running job when its progress changed.
    """

    def __init__(
        self,
        async_slots: int,
        async_threads: int,
        on_finish: OnFinish,
        slots: SlotTable,
        first_slot: int,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        super().__init__(on_finish, slots, on_progress)
        self._async_slots = async_slots
        self._many_jobs = async_slots - async_slots // 8
        """If so many run, some finish soon, and a report may wait for theirs."""
        self._async_threads = async_threads
        self._free_slots = list(range(first_slot, first_slot + async_slots))
        self._running: dict[ClaimKey, RunningCall] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_turn: asyncio.Handle | None = None
        """The next `_take_turn`, when slots are free but other callbacks come first."""
        self._is_closing = False
        self.on_broken: Callable[[], None] = lambda: None
        """Called if the loop cannot go on, and its jobs neither."""
        self._clean_context = copy_context()
        self._threads: AsyncThreads

    def submit(self, jobs: Sequence[NumberedJob]) -> None:
        if not jobs:
            return
        loop = self._ensure_loop()
        self.waiting.extend(jobs)
        loop.call_soon_threadsafe(self._fill_slots)

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        if kind is JobCancelled:
            self.cancelled.add(key)
        self._call_in_loop(self._interrupt_running, key, kind)

    def enforce_limits(self, now: float) -> None:
        for key, running in list(self._running.items()):
            timeout = running.job.timeout
            if timeout is not None and now - running.started_at > timeout:
                self.interrupt(key, JobTimeout)
            elif key in self.cancelled:  # before it started
                self.interrupt(key, JobCancelled)

    def is_running(self, key: ClaimKey) -> bool:
        """Return whether a job runs on this loop."""
        return key in self._running

    def stop(self) -> None:
        self.is_stopped = True
        self._call_in_loop(self._fill_slots)

    def _call_in_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop's thread, unless the loop has not started or has closed."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has closed
                self._loop.call_soon_threadsafe(function, *arguments)

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop. It starts with the first job: without async jobs it costs no thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._threads = AsyncThreads(self._async_threads, self._loop)
            self._threads.use_in(self._clean_context)
            threading.Thread(target=self._run_loop, name="offload-loop", daemon=True).start()
        return self._loop

    def _run_loop(self) -> None:
        assert self._loop is not None  # noqa: S101  # for the type checker
        asyncio.set_event_loop(self._loop)
        while not self._is_closing:
            self._loop.call_soon(self._threads.watch_iterators)
            try:
                self._loop.run_forever()
            except OSError:
                logger.exception("A job closed the descriptors of the event loop, which ends.")
                self.on_broken()
                return
            except BaseException:  # SystemExit in an asyncio task that a job started
                logger.exception("An asyncio task of a job stopped the event loop; restarting it.")
        self._loop.close()

    def _fill_slots(self) -> None:
        """Start waiting jobs in the free slots, unless a turn is scheduled already."""
        if self._next_turn is None:
            self._take_turn()

    def _take_turn(self) -> None:
        """Start as many jobs as slots were free, even if some finish at once.

        The next turn comes after the loop's other callbacks: jobs that never wait must not keep
        the running ones from continuing.
        """
        assert self._loop is not None  # noqa: S101  # for the type checker
        self._next_turn = None
        for _ in range(len(self._free_slots)):
            try:
                number, job = self.waiting.popleft()
            except IndexError:  # none waits
                break
            self._start_job(number, job)
        if self._free_slots and self.waiting:
            self._next_turn = self._loop.call_soon(self._take_turn)
        has_jobs = self._running or self.waiting
        if self.is_stopped and not has_jobs and not self._is_closing:
            self._is_closing = True
            self._threads.stop()
            self._loop.stop()

    def _start_job(self, number: int, job: ClaimedJob) -> None:
        """Run a job up to its first real wait, which many jobs do not have."""
        running = RunningCall(number, job, self._free_slots.pop(), self._threads)
        if not self.slots.start(running.slot, number, running.started_at, is_async=True):
            self._free_slots.append(running.slot)
            self.skip(number, job)
            return
        self._running[job.key] = running
        is_cancelled = partial(self.cancelled.__contains__, job.key)
        try:
            running.task = asyncio.Task(
                execute_async(job, running, is_cancelled, self.on_progress),
                loop=self._loop,
                context=self._clean_context.copy(),
                eager_start=True,
            )
        except BaseException as error:  # noqa: BLE001  # asyncio passes SystemExit on
            self._finish_job(running, failed(describe_exception(error)))
            return
        if running.task.done():
            # No job ran beside it, so its time counts as if it had occupied all slots.
            self._finish_job(running, _outcome_of(running.task), occupied_slots=self._async_slots)
        else:
            running.task.add_done_callback(partial(self._on_done, running))

    def _on_done(self, running: RunningCall, task: asyncio.Task) -> None:  # type: ignore[type-arg]
        self._finish_job(running, _outcome_of(task))
        self._fill_slots()

    def _finish_job(
        self, running: RunningCall, outcome: Outcome, *, occupied_slots: int = 1
    ) -> None:
        key = running.job.key
        del self._running[key]
        self.cancelled.discard(key)
        self.slots.finish(running.slot)
        self._free_slots.append(running.slot)
        run_seconds = occupied_slots * (time.monotonic() - running.started_at)
        more_follow = bool(self.waiting) or len(self._running) >= self._many_jobs
        self.on_finish(FinishReport(running.number, outcome, run_seconds, more_follow))

    def _interrupt_running(self, key: ClaimKey, kind: type[Interruption]) -> None:
        running = self._running.get(key)
        if running is not None:
            running.interrupt(kind)


def _outcome_of(task: asyncio.Task) -> Outcome:  # type: ignore[type-arg]
    try:
        outcome: Outcome = task.result()
    except BaseException as error:  # noqa: BLE001  # other code cancelled it
        outcome = failed(describe_exception(error))
    return outcome


class RunningCall:
    """A job on the event loop.

    It is also the context manager around the task's code, outside of which it is not interrupted,
    and has no thread for sync code.
    """

    task: asyncio.Task  # type: ignore[type-arg]
    _borrower: Borrower

    def __init__(self, number: int, job: ClaimedJob, slot: int, threads: AsyncThreads) -> None:
        self.number = number
        self.job = job
        self.slot = slot
        self.started_at = time.monotonic()
        self._threads = threads
        self._is_in_task = False
        self._interruption: type[Interruption] | None = None

    def interrupt(self, kind: type[Interruption]) -> None:
        """Cancel the task's coroutine, once."""
        if self._is_in_task and self._interruption is None:
            self._interruption = kind
            self.task.cancel()

    def __enter__(self) -> Self:
        self._is_in_task = True
        self._borrower = self._threads.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_in_task = False
        self._threads.leave(self._borrower)
        if self._interruption is not None and isinstance(error, asyncio.CancelledError):
            raise self._interruption from error
