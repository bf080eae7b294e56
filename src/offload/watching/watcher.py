"""Watching jobs: one thread per process and database, woken by hints.

It looks at all watched jobs with one query when a hint comes, and now and then without one, and
tells those who watch what is new. It ends by itself when nobody watches any more, and not
before: what breaks begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from offload.notifier import Hint, Listener, get_notifier
from offload.store import get_store
from offload.store.records import UNKNOWN_VERSION, JobSnapshot
from offload.watching.poll_timer import PollTimer

logger = logging.getLogger("offload.store")

REMIND = 20.0
"""Seconds after which engines are told again that somebody watches; they remember it for 60."""
LINGER = 5.0
"""Seconds for which the thread stays when nobody watches."""
BROKEN_PAUSE = 1.0
"""Seconds until what broke begins anew."""

type OnChange = Callable[[Sequence[JobSnapshot]], None]
"""Is told, in the thread that looks, what is new; not twice that a job has ended."""


@dataclass(slots=True)
class WatchedJob:
    """A job that somebody watches."""

    version: int
    """The newest that all who watch it were told of."""
    tells: set[OnChange] = field(default_factory=set)


class Watcher:
    """Who watches which job of one database, in this process."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._lock = threading.Lock()
        self._watched: dict[UUID, WatchedJob] = {}
        self._thread = threading.Thread()
        self._runs = False
        """Whether the thread will look at what is added: not when it is about to end."""
        self._linger = LINGER
        self._news, self._bell = os.pipe()
        for end in (self._news, self._bell):
            os.set_blocking(end, False)

    def subscribe(self, known: Mapping[UUID, int], tell: OnChange) -> None:
        """Tell of each change of jobs, until each has ended or is left.

        Nothing is lost between a caller's own look at a job and this call: whatever is newer than
        what is known is told.

        Args:
            known: each job's version that is known already; UNKNOWN_VERSION if none is.
            tell: called in another thread; should be quick. It may be told of a version that it
                knows, or of one that is older.
        """
        with self._lock:
            for job, version in known.items():
                watched = self._watched.setdefault(job, WatchedJob(version))
                watched.version = min(watched.version, version)
                watched.tells.add(tell)
            if not (self._runs and self._thread.is_alive()):
                self._runs = True
                self._thread = threading.Thread(
                    target=self._run, name=f"offload-watch-{self._using}", daemon=True
                )
                self._thread.start()
        self._ring()

    def unsubscribe(self, jobs: Collection[UUID], tell: OnChange) -> None:
        """Tell no more of these jobs."""
        with self._lock:
            for job in jobs:
                watched = self._watched.get(job)
                if watched is not None:
                    watched.tells.discard(tell)
                    if not watched.tells:
                        del self._watched[job]

    def wait(self, job: UUID, timeout: float | None) -> bool:
        """Return True when the job has ended or is gone, False after `timeout` seconds."""
        ended = threading.Event()
        tell = _at_the_end(ended.set)
        self.subscribe({job: UNKNOWN_VERSION}, tell)
        try:
            return ended.wait(timeout)
        finally:
            self.unsubscribe([job], tell)

    async def wait_async(self, job: UUID) -> None:
        """Return when the job has ended or is gone."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        tell = _at_the_end(lambda: loop.call_soon_threadsafe(ended.set))
        self.subscribe({job: UNKNOWN_VERSION}, tell)
        try:
            await ended.wait()
        finally:
            self.unsubscribe([job], tell)

    def stop(self) -> None:
        """Let the thread end as soon as nobody watches, so that it holds no connection."""
        self._linger = 0.0
        thread = self._thread
        if thread.is_alive():
            self._ring()
            thread.join()

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        """Look until nobody watches any more: nobody else would wake who waits without a limit."""
        while True:
            try:
                self._look_on()
            except Exception:
                logger.exception("Watching jobs in DATABASES[%r] broke.", self._using)
            else:
                return
            if self._end():
                return
            self._rest(BROKEN_PAUSE)

    def _look_on(self) -> None:
        get_store(self._using).enable_keepalives()
        notifier = get_notifier(self._using)
        listener = notifier.listen(Hint.CHANGED)
        reminded, idle_since, rhythm = float("-inf"), None, PollTimer(listener)
        try:
            while True:
                now = time.monotonic()
                if self._watched:
                    idle_since = None
                    if now - reminded > REMIND:
                        notifier.notify(Hint.WATCH)
                        reminded = now
                    if rhythm.is_due(now):
                        self._look()
                        rhythm.looked(took=time.monotonic() - now)
                    patience = rhythm.patience()
                elif idle_since is None:
                    idle_since, patience = now, self._linger
                elif now - idle_since >= self._linger and self._end():
                    return
                self._rest(patience, listener, rhythm)
        finally:
            listener.close()
            connections.close_all()

    def _rest(
        self, patience: float, listener: Listener | None = None, rhythm: PollTimer | None = None
    ) -> None:
        """Wait for a hint, for somebody else who watches, or until it is time to look."""
        poll = select.poll()  # select() fails in a process with many open files
        poll.register(self._news, select.POLLIN)
        descriptor = listener.fileno() if listener else None
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(patience * 1000)]
        if self._news in ready:
            os.read(self._news, 65536)
        if listener is None or rhythm is None:
            return
        if listener.receive():
            rhythm.hint()
        elif self._news in ready:
            rhythm.begin()
        elif self._watched and listener.changed():
            rhythm.hint()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full: the thread will look anyhow
            os.write(self._bell, b"!")

    def _end(self) -> bool:
        """Tell whether this thread may end; whoever watches from then on starts the next one."""
        with self._lock:
            self._runs = bool(self._watched)
            return not self._runs

    def _look(self) -> None:
        with self._lock:
            known = {job: watched.version for job, watched in self._watched.items()}
        try:
            found = get_store(self._using).changed_since(known)
        except (DatabaseError, InterfaceError):
            connections[self._using].close()
            return
        news: defaultdict[OnChange, list[JobSnapshot]] = defaultdict(list)
        with self._lock:
            for seen in found:
                watched = self._watched.get(seen.id)
                if watched is None:
                    continue
                for tell in watched.tells:
                    news[tell].append(seen)
                if seen.job is None or seen.is_finished:
                    del self._watched[seen.id]
                else:
                    watched.version = seen.job.version
        for tell, told in news.items():
            try:
                tell(told)
            except RuntimeError:  # who watched is gone, with its event loop
                self.unsubscribe(known, tell)


def _at_the_end(wake: Callable[[], object]) -> OnChange:
    """Return what wakes somebody when the job has ended."""

    def tell(seen: Sequence[JobSnapshot]) -> None:
        if any(job.is_finished for job in seen):
            wake()

    return tell


def get_watcher(using: str) -> Watcher:
    """Return this process's watch over a database."""
    # In an event loop `connections[using]` makes a connection for each task that asks.
    return _watch_of(using, str(connections.settings[using]["NAME"]), os.getpid())


@cache
def _watch_of(using: str, name: str, pid: int) -> Watcher:  # noqa: ARG001  # they tell watches apart
    """Make a watch; a forked child and a test's other database get one of their own."""
    return Watcher(using)
