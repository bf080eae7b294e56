"""Calls of sync code that async jobs wait for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class SyncCall:
    """A call of sync code, and the future of its result.

    Create it in the event loop that waits for it.
    """

    _error: BaseException | None = None
    _result: Any = None

    def __init__(self, function: Callable[[], Any]) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._function = function

    def run(self) -> None:
        """Run it in this thread, unless it was cancelled while it waited."""
        if self.future.cancelled():
            return
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001  # the job handles it
            self._error = error

    def settle(self) -> None:
        """Pass on its result, in the loop's thread."""
        if self.future.done():  # it was cancelled
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


class FinishedCalls:
    """The calls whose results the event loop has not got: it wakes up once for all of them.

    Args:
        loop: the event loop of most of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[SyncCall] = deque()
        self._is_notified = False

    def add(self, call: SyncCall) -> None:
        """Pass on the result of a call; called from any thread."""
        loop = call.future.get_loop()
        with suppress(RuntimeError):  # the loop has closed
            if loop is not self._loop:  # one that a job runs in a thread of its own
                loop.call_soon_threadsafe(call.settle)
                return
            self._calls.append(call)
            if not self._is_notified:
                self._is_notified = True
                loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._is_notified = False  # first: a call that is added from now on wakes the loop again
        while self._calls:
            self._calls.popleft().settle()
