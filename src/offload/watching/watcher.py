"""Watching jobs: one thread per process and database reads changes for all subscribers.

The thread queries all watched jobs in one statement, at a hint and now and then without one, and
passes the changes on. After an error it starts again; it exits only when no subscriber is left.
"""

from __future__ import annotations

import asyncio
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
from offload.store.errors import explain
from offload.store.records import UNKNOWN_VERSION, JobSnapshot
from offload.wakeup import Wakeup
from offload.watching.poll_timer import PollTimer

logger = logging.getLogger("offload.store")

ANNOUNCE_INTERVAL = 20.0
"""Seconds between two WATCH hints; workers report changes for 60 s after each."""
LINGER_SECONDS = 5.0
"""How long the thread stays without subscribers."""
RESTART_DELAY = 1.0
"""Seconds until the thread starts again after an error."""

type OnChange = Callable[[Sequence[JobSnapshot]], None]
"""Called in the watcher's thread with changed jobs. A finished job is reported once."""


@dataclass(slots=True)
class WatchedJob:
    """A job with its subscribers."""

    version: int
    """The version that all subscribers have; newer ones are reported."""
    subscribers: set[OnChange] = field(default_factory=set)


class Watcher:
    """The watched jobs of one database, in this process, and the thread that reads them.

    Args:
        using: alias in DATABASES.
        clock: monotonic time in seconds.
    """

    def __init__(self, using: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._using = using
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[UUID, WatchedJob] = {}
        self._thread = threading.Thread()
        self._is_running = False
        """Whether the thread will poll newly watched jobs; False once it is about to exit."""
        self._linger = LINGER_SECONDS
        self._is_failing = False
        """Whether the last poll failed, which is logged once."""
        self._wakeup = Wakeup()

    def subscribe(self, known: Mapping[UUID, int], on_change: OnChange) -> None:
        """Report each change of jobs, until each has finished or is unsubscribed.

        No change is lost between the caller's own read and this call: every newer version is
        reported.

        Args:
            known: the version of each job that the caller has read, or UNKNOWN_VERSION.
            on_change: called in another thread, so it should be quick. It may receive the same
                version again, or an older one.
        """
        with self._lock:
            for job, version in known.items():
                watched = self._watched.setdefault(job, WatchedJob(version))
                watched.version = min(watched.version, version)
                watched.subscribers.add(on_change)
            if not (self._is_running and self._thread.is_alive()):
                self._is_running = True
                self._thread = threading.Thread(
                    target=self._run, name=f"offload-watch-{self._using}", daemon=True
                )
                self._thread.start()
        self._wakeup.notify()

    def unsubscribe(self, jobs: Collection[UUID], on_change: OnChange) -> None:
        """Report no further changes of these jobs."""
        with self._lock:
            for job in jobs:
                watched = self._watched.get(job)
                if watched is None:
                    continue
                watched.subscribers.discard(on_change)
                if not watched.subscribers:
                    del self._watched[job]

    def wait(self, job: UUID, timeout: float | None) -> bool:
        """Wait until a job has finished or was deleted; return False after `timeout` seconds."""
        finished = threading.Event()
        on_change = _when_finished(finished.set)
        self.subscribe({job: UNKNOWN_VERSION}, on_change)
        try:
            return finished.wait(timeout)
        finally:
            self.unsubscribe([job], on_change)

    async def wait_async(self, job: UUID) -> None:
        """Wait until a job has finished or was deleted."""
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        on_change = _when_finished(lambda: loop.call_soon_threadsafe(finished.set))
        self.subscribe({job: UNKNOWN_VERSION}, on_change)
        try:
            await finished.wait()
        finally:
            self.unsubscribe([job], on_change)

    def stop(self) -> None:
        """Wait for the thread to exit, which it now does as soon as it has no subscribers."""
        self._linger = 0.0
        thread = self._thread
        if thread.is_alive():
            self._wakeup.notify()
            thread.join()

    def poll(self) -> None:
        """Read the changes of all watched jobs, and pass them to the subscribers."""
        with self._lock:
            known = {job: watched.version for job, watched in self._watched.items()}
        try:
            changed = get_store(self._using).changed_since(known)
        except (DatabaseError, InterfaceError) as error:
            connections[self._using].close()
            if not self._is_failing:
                logger.warning("%s Trying again.", explain(error, self._using))
            self._is_failing = True
            return
        self._is_failing = False
        for on_change, snapshots in self._record_changes(changed).items():
            try:
                on_change(snapshots)
            except RuntimeError:  # the subscriber's event loop is closed
                self.unsubscribe(known, on_change)

    def _record_changes(
        self, changed: Sequence[JobSnapshot]
    ) -> Mapping[OnChange, list[JobSnapshot]]:
        """Update the watched versions; return the changes for each subscriber."""
        changes: defaultdict[OnChange, list[JobSnapshot]] = defaultdict(list)
        with self._lock:
            for snapshot in changed:
                watched = self._watched.get(snapshot.id)
                if watched is None:
                    continue
                for on_change in watched.subscribers:
                    changes[on_change].append(snapshot)
                if snapshot.job is None or snapshot.is_finished:
                    del self._watched[snapshot.id]
                else:
                    watched.version = snapshot.job.version
        return changes

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        """Watch until no subscriber is left, as some wait without a timeout; retry after errors."""
        while True:
            try:
                self._watch()
            except Exception:
                logger.exception("Watching jobs in DATABASES[%r] failed; retrying.", self._using)
            else:
                return
            if self._try_exit():
                return
            self._wakeup.wait(RESTART_DELAY)

    def _watch(self) -> None:
        self._is_failing = False
        get_store(self._using).dedicate_connection()
        notifier = get_notifier(self._using)
        listener = notifier.listen(Hint.CHANGED)
        timer = PollTimer(listener, self._clock)
        announced_at = float("-inf")
        idle_since: float | None = None
        try:
            while True:
                now = self._clock()
                if self._watched:
                    idle_since = None
                    if now - announced_at > ANNOUNCE_INTERVAL:
                        notifier.notify(Hint.WATCH)
                        announced_at = now
                    self._poll_if_due(timer)
                    timeout = timer.timeout()
                else:
                    if idle_since is None:
                        idle_since = now
                    timeout = max(0.0, idle_since + self._linger - now)
                    if not timeout and self._try_exit():
                        return
                self._wait(timeout, listener, timer)
        finally:
            listener.close()
            connections.close_all()

    def _poll_if_due(self, timer: PollTimer) -> None:
        if timer.is_due:
            started = self._clock()
            self.poll()
            timer.polled(took=self._clock() - started)

    def _wait(self, timeout: float, listener: Listener, timer: PollTimer) -> None:
        """Wait for a hint, a new subscription, or the time of the next poll."""
        poll = select.poll()  # select() fails in a process with many open files
        poll.register(self._wakeup, select.POLLIN)
        hints = listener.fileno()
        if hints is not None:
            poll.register(hints, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(timeout * 1000)}
        has_new_subscription = self._wakeup.fileno() in ready
        if has_new_subscription:
            self._wakeup.clear()
        if listener.receive():
            timer.expect_change()
        elif has_new_subscription:
            timer.restart()
        elif self._watched and listener.changed():
            timer.expect_change()

    def _try_exit(self) -> bool:
        """Return True if the thread may exit; the next subscription then starts a new one."""
        with self._lock:
            self._is_running = bool(self._watched)
            return not self._is_running


def _when_finished(wake: Callable[[], object]) -> OnChange:
    """Return a subscriber that calls `wake` when a job has finished."""

    def on_change(snapshots: Sequence[JobSnapshot]) -> None:
        if any(snapshot.is_finished for snapshot in snapshots):
            wake()

    return on_change


def get_watcher(using: str) -> Watcher:
    """Return this process's watcher of a database."""
    # In an event loop `connections[using]` makes a connection for each asyncio task.
    name = str(connections.settings[using]["NAME"])
    return _make_watcher(using, name, os.getpid())


@cache
def _make_watcher(using: str, name: str, pid: int) -> Watcher:  # noqa: ARG001  # keys of the cache
    """Make a watcher; a forked child and a test's other database get their own."""
    return Watcher(using)
