"""One event loop for tasks written with async def."""

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

from asgiref.sync import sync_to_async

from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import Outcome, failed
from offload.progress import OnProgress, ignore_progress
from offload.store.records import ClaimedJob, ClaimKey
from offload.worker.execution.connections import close_unusable, reset_connections
from offload.worker.execution.executor import execute_async
from offload.worker.execution.tracebacks import describe_exception
from offload.worker.runners.base import FinishReport, Numbered, ReportTo, Runner
from offload.worker.runners.slot_table import SlotTable

logger = logging.getLogger("offload.worker")

CLEANUP_INTERVAL = 1.0
"""Seconds between two looks at the connections that the async tasks share."""


class EventLoopRunner(Runner):
    """Args:
    slots: how many jobs run at once.
    report: called with each job that ended, in the loop's thread.
    slot_table: where to write what runs.
    first: this lane's first place in `slot_table`.
    on_progress: called with the reporter of a running job that moved.
    """

    def __init__(
        self,
        slots: int,
        report: ReportTo,
        slot_table: SlotTable,
        first: int,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        super().__init__(report, slot_table, on_progress)
        self._slots = slots
        self._places = list(range(first, first + slots))
        self._running: dict[ClaimKey, RunningCall] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_turn: asyncio.Handle | None = None
        """When more jobs begin, although there are places: others have their turn before."""
        self._has_ended = False
        self._clean = copy_context()
        self._dirty = False

    def submit(self, jobs: Sequence[Numbered]) -> None:
        if not jobs:
            return
        loop = self._start()
        self.waiting.extend(jobs)
        loop.call_soon_threadsafe(self._fill)

    def interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        if kind is JobCancelled:
            self.cancelled.add(key)
        self._call(self._interrupt, key, kind)

    def enforce_limits(self, now: float) -> None:
        for key, running in list(self._running.items()):
            timeout = running.job.timeout
            if timeout is not None and now - running.since > timeout:
                self.interrupt(key, JobTimeout)
            elif key in self.cancelled:  # before it began
                self.interrupt(key, JobCancelled)

    def runs(self, key: ClaimKey) -> bool:
        """Tell whether a job runs here."""
        return key in self._running

    def stop(self) -> None:
        self.stopped = True
        self._call(self._fill)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call in the loop's thread, if there is a loop."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it was stopped, and has ended
                self._loop.call_soon_threadsafe(function, *arguments)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it starts with the first job, so that others cost no thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, name="offload-loop", daemon=True).start()
        return self._loop

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101  # for the type checker
        asyncio.set_event_loop(self._loop)
        self._loop.call_later(CLEANUP_INTERVAL, self._tidy)
        while not self._has_ended:
            try:
                self._loop.run_forever()
            except BaseException:  # SystemExit in an asyncio task that a job started
                logger.exception("An asyncio task of a job ended the event loop; it goes on.")
        self._loop.close()

    def _fill(self) -> None:
        """Begin waiting jobs as long as there are places."""
        if self._next_turn is None:
            self._take_turn()

    def _take_turn(self) -> None:
        """Begin no more than there are places, however many of them end at once."""
        assert self._loop is not None  # noqa: S101  # for the type checker
        self._next_turn = None
        for _ in range(len(self._places)):
            try:
                number, job = self.waiting.popleft()
            except IndexError:  # none waits, or was faster recalled
                break
            self._begin(number, job)
        if self._places and self.waiting:
            self._next_turn = self._loop.call_soon(self._take_turn)
        if self.stopped and not (self._running or self.waiting or self._has_ended):
            self._has_ended = True
            self._tidying = self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        """End the loop, and leave no connection behind in the thread it shares."""
        assert self._loop is not None  # noqa: S101  # for the type checker
        try:
            if self._dirty:
                await sync_to_async(reset_connections)()
        finally:
            self._loop.stop()

    def _begin(self, number: int, job: ClaimedJob) -> None:
        """Run a job up to where it first has to wait, which for many is their end."""
        running = RunningCall(number, job, self._places.pop())
        self._running[job.key] = running
        self.slot_table.start(running.place, number, running.since, is_async=True)
        is_cancelled = partial(self.cancelled.__contains__, job.key)
        try:
            running.task = asyncio.Task(
                execute_async(job, running, is_cancelled, self.on_progress),
                loop=self._loop,
                context=self._clean.copy(),
                eager_start=True,
            )
        except BaseException as error:  # noqa: BLE001  # asyncio passes SystemExit on
            self._end(running, failed(describe_exception(error)))
            return
        if running.task.done():
            # It had the loop for itself, so others cannot run beside it: it fills all places.
            self._end(running, _outcome(running.task), places=self._slots)
        else:
            running.task.add_done_callback(partial(self._on_done, running))

    def _on_done(self, running: RunningCall, task: asyncio.Task) -> None:  # type: ignore[type-arg]
        self._end(running, _outcome(task))
        self._fill()

    def _end(self, running: RunningCall, outcome: Outcome, *, places: int = 1) -> None:
        key = running.job.key
        del self._running[key]
        self.cancelled.discard(key)
        self.slot_table.finish(running.place)
        self._places.append(running.place)
        self._dirty = True
        seconds = places * (time.monotonic() - running.since)
        self.report(FinishReport(running.number, outcome, seconds, bool(self.waiting)))

    def _interrupt(self, key: ClaimKey, kind: type[Interruption]) -> None:
        running = self._running.get(key)
        if running is not None:
            running.interrupt(kind)

    def _tidy(self) -> None:
        """Leave the connections clean in the thread in which async tasks use the ORM."""
        assert self._loop is not None  # noqa: S101  # for the type checker
        if self._dirty:
            tidy = close_unusable if self._running else reset_connections
            self._dirty = bool(self._running)
            # At once: a job that begins meanwhile must not find its own connection closed.
            self._tidying = asyncio.Task(sync_to_async(tidy)(), loop=self._loop, eager_start=True)
        self._loop.call_later(CLEANUP_INTERVAL, self._tidy)


def _outcome(task: asyncio.Task) -> Outcome:  # type: ignore[type-arg]
    try:
        outcome: Outcome = task.result()
    except BaseException as error:  # noqa: BLE001  # other code cancelled it
        outcome = failed(describe_exception(error))
    return outcome


class RunningCall:
    """A job on the loop. Also the gate around the task's code."""

    task: asyncio.Task  # type: ignore[type-arg]

    def __init__(self, number: int, job: ClaimedJob, place: int) -> None:
        self.number = number
        self.job = job
        self.place = place
        self.since = time.monotonic()
        self._open = False
        self._kind: type[Interruption] | None = None

    def interrupt(self, kind: type[Interruption]) -> None:
        """Cancel the task's coroutine, once."""
        if self._open and self._kind is None:
            self._kind = kind
            self.task.cancel()

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        if self._kind is not None and isinstance(error, asyncio.CancelledError):
            raise self._kind from error
