"""Waiting for jobs to end: one thread per process and database, woken by hints.

It looks at all awaited jobs with one query when a hint comes, and now and then without one.
It ends by itself when nobody waits any more, and not before: what breaks begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from functools import cache
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from offload.notifier import Hint, Listener, get_notifier
from offload.store import get_store

logger = logging.getLogger("offload.store")

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.25
"""Seconds between two looks without a hint: from the first to the second, doubling."""
REMIND = 20.0
"""Seconds after which engines are told again that somebody waits; they remember it for 60."""
LINGER = 5.0
"""Seconds for which the thread stays when nobody waits."""
BROKEN_PAUSE = 1.0
"""Seconds until what broke begins anew."""

type Wake = Callable[[], None]


class Watch:
    """Who waits for which job of one database, in this process."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._lock = threading.Lock()
        self._waiting: dict[UUID, list[Wake]] = {}
        self._thread: threading.Thread | None = None
        self._linger = LINGER
        self._news, self._ring = os.pipe()
        os.set_blocking(self._news, False)

    def wait(self, job: UUID, timeout: float | None) -> bool:
        """Return True when the job has ended or is gone, False after `timeout` seconds."""
        ended = threading.Event()
        self._add(job, ended.set)
        try:
            return ended.wait(timeout)
        finally:
            self._remove(job, ended.set)

    async def wait_async(self, job: UUID) -> None:
        """Return when the job has ended or is gone."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(ended.set)

        self._add(job, wake)
        try:
            await ended.wait()
        finally:
            self._remove(job, wake)

    def stop(self) -> None:
        """Let the thread end as soon as nobody waits, so that it holds no connection."""
        self._linger = 0.0
        thread = self._thread
        if thread is not None:
            os.write(self._ring, b"!")
            thread.join()

    def _add(self, job: UUID, wake: Wake) -> None:
        with self._lock:
            self._waiting.setdefault(job, []).append(wake)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name=f"offload-watch-{self._using}", daemon=True
                )
                self._thread.start()
        os.write(self._ring, b"!")

    def _remove(self, job: UUID, wake: Wake) -> None:
        with self._lock:
            wakes = self._waiting.get(job, [])
            if wake in wakes:
                wakes.remove(wake)
            if not wakes:
                self._waiting.pop(job, None)

    def _run(self) -> None:
        """Watch until nobody waits any more: nobody else would wake who waits without a limit."""
        while True:
            try:
                self._watch()
            except Exception:
                logger.exception("Waiting for jobs in DATABASES[%r] broke.", self._using)
            else:
                return
            if self._end():
                return
            self._rest(BROKEN_PAUSE)

    def _watch(self) -> None:
        notifier = get_notifier(self._using)
        reminded, idle_since, pause = float("-inf"), None, FIRST_PAUSE
        listener = notifier.listen(Hint.ENDED)
        try:
            while True:
                now = time.monotonic()
                if self._waiting:
                    idle_since = None
                    if now - reminded > REMIND:
                        notifier.ring(Hint.WATCH)
                        reminded = now
                    self._look()
                elif idle_since is None:
                    idle_since = now
                elif now - idle_since >= self._linger and self._end():
                    return
                heard = self._rest(pause if self._waiting else self._linger, listener)
                pause = FIRST_PAUSE if heard else min(pause * 2, LONGEST_PAUSE)
        finally:
            listener.close()
            connections.close_all()

    def _rest(self, patience: float, listener: Listener | None = None) -> bool:
        """Wait; return whether a hint came, or somebody who waits too."""
        poll = select.poll()  # select() fails in a process with many open files
        poll.register(self._news, select.POLLIN)
        descriptor = listener.fileno() if listener else None
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(patience * 1000)]
        if self._news in ready:
            os.read(self._news, 4096)
        hints = listener.hints() if listener else ()
        return bool(hints) or self._news in ready

    def _end(self) -> bool:
        """Tell whether this thread may end; whoever waits from then on starts the next one."""
        with self._lock:
            if self._thread is threading.current_thread():
                if self._waiting:
                    return False
                self._thread = None
            return True

    def _look(self) -> None:
        try:
            ended = get_store(self._using).ended(list(self._waiting))
        except (DatabaseError, InterfaceError):
            connections[self._using].close()
            return
        with self._lock:
            wakes = [wake for job in ended for wake in self._waiting.pop(job, [])]
        for wake in wakes:
            with contextlib.suppress(RuntimeError):  # who waited is gone, with its event loop
                wake()


def get_watch(using: str) -> Watch:
    """Return this process's watch over a database."""
    return _watch_of(using, str(connections[using].settings_dict["NAME"]), os.getpid())


@cache
def _watch_of(using: str, name: str, pid: int) -> Watch:  # noqa: ARG001  # they tell watches apart
    """Make a watch; a forked child and a test's other database get one of their own."""
    return Watch(using)
