"""Soft time limits: an exception that is raised inside the task, which may catch it and go on.

It reaches a thread at its next bytecode. A blocking call of C code is ended by the hard limit only.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

from offload.celery.exceptions import SoftTimeLimitExceeded

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc


@contextmanager
def soft_limit(seconds: float | None) -> Iterator[None]:
    """Raise SoftTimeLimitExceeded within a `with` block that takes longer; once.

    Args:
        seconds: the limit; None for none.
    """
    if seconds is None:
        yield
        return
    deadline = _Deadline(threading.get_ident(), seconds)
    _clock.add(deadline)
    try:
        yield
    finally:
        deadline.end()


@asynccontextmanager
async def soft_limit_of_coroutine(seconds: float | None) -> AsyncIterator[None]:
    """Do what `soft_limit` does; the coroutine within is cancelled first."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise SoftTimeLimitExceeded(seconds) from error
        raise


class _Deadline:
    """The end of the time of one task."""

    def __init__(self, thread: int, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self._thread = thread
        self._lock = threading.Lock()
        self._is_open = True
        self._was_raised = False

    def interrupt(self) -> None:
        """Raise the exception in the thread, unless the task has ended."""
        with self._lock:
            if self._is_open:
                self._was_raised = True
                _set_async_exc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(SoftTimeLimitExceeded)
                )

    def end(self) -> None:
        """End the block; withdraw an exception that was not raised yet."""
        with self._lock:
            self._is_open = False
            if self._was_raised:
                _set_async_exc(ctypes.c_ulong(self._thread), None)


class _Clock:
    """A thread that waits for the next deadline of its process; it starts with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: list[tuple[float, int, _Deadline]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def add(self, deadline: _Deadline) -> None:
        """Interrupt the deadline's thread when it is due."""
        with self._changed:
            heapq.heappush(self._deadlines, (deadline.at, next(self._numbers), deadline))
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(target=self._run, name="soft limits", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                deadline = self._next()
            deadline.interrupt()

    def _next(self) -> _Deadline:
        while True:
            now = time.monotonic()
            if self._deadlines and self._deadlines[0][0] <= now:
                return heapq.heappop(self._deadlines)[2]
            self._changed.wait(self._deadlines[0][0] - now if self._deadlines else None)


_clock = _Clock()
