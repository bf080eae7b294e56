"""Threads for the sync code of async jobs, such as queries of the ORM.

Without them, asgiref would run the sync code of all jobs in one thread of the process, one call
after another.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from functools import partial
from queue import SimpleQueue
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections
from django.db.models import QuerySet

from offload.worker.execution.connections import (
    are_in_transaction,
    can_stay_open,
    reset_connections,
)
from offload.worker.runners.sync_calls import FinishedCalls, SyncCall

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("offload.worker")

MAX_REST = 0.05
"""Seconds without a call after which a job gives its thread to a job that waits for one."""
REST_TURNS = 5
"""Turns of the event loop that this takes at least. A job whose call has returned goes on after
three: if a busy loop needs longer for them than `MAX_REST`, the job does not rest, but waits."""

_borrower: ContextVar[Borrower | None] = ContextVar("offload_borrower", default=None)
_READS_IN_CHUNKS = QuerySet.aiterator.__code__


class AsyncThreads(Executor):
    """A limited number of threads, each of which one async job uses at a time.

    A job gets a thread with its first call of `sync_to_async`, and keeps it until it ends: its
    calls share connections and transactions, and run one after another. If all threads are used,
    jobs wait for one in the order of their calls. A job that then makes no call for `MAX_REST`
    loses its thread and its connections, unless it is in a transaction.

    Args:
        limit: the number of threads. They start when they are needed.
        loop: the event loop of the jobs.
    """

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._limit = limit
        self._loop = loop
        self.finished_calls = FinishedCalls(loop)
        self._lock = threading.Lock()
        self._started = 0
        self._idle: list[AsyncThread] = []
        self._waiting: deque[Borrower] = deque()
        self._resting: dict[Borrower, int] = {}
        """The jobs that have a thread, but no call for it; during how many turns others waited."""
        self._takes_over = False
        """Whether `_take_over` is scheduled."""
        self._is_stopped = False

    def use_in(self, context: Context) -> None:
        """Make `sync_to_async` use these threads in a context and all its copies."""
        marker = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[marker] = self
        context.run(SyncToAsync.thread_sensitive_context.set, marker)

    def enter(self) -> Borrower:
        """Let the code of this context, and all that it starts, borrow a thread as one job."""
        borrower = Borrower()
        _borrower.set(borrower)
        return borrower

    def leave(self, borrower: Borrower) -> None:
        """Give the thread back once its current call has ended."""
        borrower.is_ended = True
        if borrower.calls is None:  # it has made none
            return
        with self._lock:
            thread = borrower.thread
            if self._resting.pop(borrower, None) is None or thread is None:
                return
            if can_stay_open(thread.connections):
                self._pass_on(thread, borrower)  # the next job's first call resets them
            else:
                thread.inbox.put(borrower)

    def submit(  # type: ignore[override]
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Call a function in the thread of the job that the current context belongs to.

        `run_in_executor` takes a future of asyncio as it is, instead of making one that waits for
        the usual kind.
        """
        call = SyncCall(partial(function, *args, **kwargs))
        borrower = _borrower.get()
        if borrower is None or borrower.is_ended:
            # A receiver of a signal, or what outlives its job: it borrows for this call only.
            borrower = Borrower()
            borrower.is_ended = True
        with self._lock:
            if borrower.calls is None:
                borrower.calls = deque()
            borrower.calls.append(call)
            if borrower.thread is None:
                if not borrower.is_waiting:
                    self._find_thread(borrower)
            elif self._resting.pop(borrower, None) is not None:
                borrower.thread.inbox.put(borrower)
        return call.future

    def stop(self) -> None:
        """Let each thread exit as soon as no job uses it."""
        with self._lock:
            self._is_stopped = True
            for thread in self._idle:
                thread.inbox.put(None)

    def watch_iterators(self) -> None:
        """Keep the connection of a job that reads a queryset in chunks; call it in the loop."""
        hooks = sys.get_asyncgen_hooks()

        def note(generator: Any) -> None:
            borrower = _borrower.get()
            if borrower is not None and generator.ag_code is _READS_IN_CHUNKS:
                borrower.iterators = borrower.iterators or WeakSet()
                borrower.iterators.add(generator)
            if hooks.firstiter is not None:
                hooks.firstiter(generator)

        sys.set_asyncgen_hooks(firstiter=note)

    def next_call(self, thread: AsyncThread, borrower: Borrower) -> SyncCall | None:
        """Return the next call of a job; without one, let it rest unless it has ended."""
        with self._lock:
            if borrower.calls:
                return borrower.calls.popleft()
            thread.is_kept = not borrower.is_ended
            if thread.is_kept:
                self._resting[borrower] = 0
            return None

    def take_back(self, thread: AsyncThread, borrower: Borrower) -> None:
        """Take the thread from a job that has ended, for the one that waits longest."""
        with self._lock:
            self._pass_on(thread, borrower)

    def _find_thread(self, borrower: Borrower) -> None:
        if self._idle:
            thread = self._idle.pop()
        elif self._started < self._limit:
            thread = AsyncThread(self, self._started)
            self._started += 1
        else:
            self._wait(borrower)
            return
        thread.inbox.put(self._lend(thread, borrower))

    def _pass_on(self, thread: AsyncThread, borrower: Borrower) -> None:
        borrower.thread = None
        if self._waiting:
            thread.inbox.put(self._lend(thread, self._waiting.popleft()))
            return
        self._idle.append(thread)
        if self._is_stopped:
            thread.inbox.put(None)

    def _lend(self, thread: AsyncThread, borrower: Borrower) -> Borrower:
        borrower.is_waiting = False
        borrower.thread = thread
        return borrower

    def _wait(self, borrower: Borrower) -> None:
        borrower.is_waiting = True
        self._waiting.append(borrower)
        if not self._takes_over:
            self._takes_over = True
            self._loop.call_soon_threadsafe(self._take_over)

    def _take_over(self) -> None:
        """Give the threads of jobs that have rested long enough to those that wait."""
        with self._lock:
            for borrower, turns in list(self._resting.items()):
                self._resting[borrower] = turns + 1
                if not self._waiting or turns < REST_TURNS:
                    continue
                thread = borrower.thread
                if thread is None or borrower.is_reading:
                    continue
                if not are_in_transaction(thread.connections):
                    del self._resting[borrower]
                    borrower.thread = None
                    thread.must_close = True
                    thread.inbox.put(self._lend(thread, self._waiting.popleft()))
            self._takes_over = bool(self._waiting)
            if self._takes_over:
                self._loop.call_later(MAX_REST / REST_TURNS, self._take_over)


class Borrower:
    """An async job, which borrows a thread for its calls of sync code."""

    # Not set in `__init__`: most jobs have no sync code.
    calls: deque[SyncCall] | None = None
    """The calls that have not started; None before the first one."""
    is_ended = False
    is_waiting = False
    iterators: WeakSet[AsyncGeneratorType[Any, Any]] | None = None
    """What reads a queryset in chunks, perhaps from a cursor of its connection."""
    thread: AsyncThread | None = None

    @property
    def is_reading(self) -> bool:
        """Whether the job has begun to read a queryset in chunks, and has not finished."""
        return any(iterator.ag_frame is not None for iterator in self.iterators or ())


class AsyncThread:
    """One of the threads; it serves one job after another."""

    def __init__(self, threads: AsyncThreads, number: int) -> None:
        self.inbox: SimpleQueue[Borrower | None] = SimpleQueue()
        """A job that has calls or has ended; None to exit."""
        self.is_kept = False
        """Whether the job that made the last call has not ended."""
        self.connections: Sequence[BaseDatabaseWrapper] = ()
        """Those that the last call used or found open."""
        self.must_close = False
        """Whether its connections belong to a job that goes on without it."""
        self._threads = threads
        name = f"offload-async-{number}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        served: Borrower | None = None
        while (borrower := self.inbox.get()) is not None:
            if borrower is not served:
                self._reset(close_all=self.must_close)
            self._serve(borrower)
            served = borrower if self.is_kept else None
        self._reset(close_all=True)

    def _serve(self, borrower: Borrower) -> None:
        """Run the calls of a job, until it rests or has ended."""
        while (call := self._threads.next_call(self, borrower)) is not None:
            call.run()
            self.connections = connections.all(initialized_only=True)
            self._threads.finished_calls.add(call)
        if not self.is_kept:
            if not can_stay_open(self.connections):
                self._reset()
            self._threads.take_back(self, borrower)

    def _reset(self, *, close_all: bool = False) -> None:
        self.must_close = False
        try:
            reset_connections(close_all=close_all)
        except Exception:
            logger.exception("Could not reset a database connection of an async task.")
