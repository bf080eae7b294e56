"""Runs in the parent of Celery's child processes, and keeps the leases of silent ones.

It gives back the jobs that they have claimed and not started. It also kills a child in which a job
does not stop, and one that is frozen.

A task that holds the interpreter holds up the worker in its process, too. The parent runs no tasks.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import Error, connections

from offload.backends.base import get_backend
from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import released
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob
from offload.text import to_terminal_text
from offload.worker.fleet.held_ring import Claim
from offload.worker.fleet.unstarted_jobs import UnstartedJobs
from offload.worker.outage import MAX_RETRY_DELAY
from offload.worker.pools.base import unresponsive_outcome
from offload.worker.upkeep.host_lock import HostLock

if TYPE_CHECKING:
    from offload.conf import BackendOptions
    from offload.store.base import Store
    from offload.store.records import ClaimKey

logger = logging.getLogger("offload.worker")

INTERVAL = 0.25
"""Seconds between two looks at the processes; without silent ones a look costs one system call."""
SILENT_HEARTBEATS = 1.5
"""A process is silent after this many intervals without a heartbeat."""
EXIT_TIMEOUT = 10.0
"""Seconds to wait until a killed process has exited."""


@dataclass(slots=True)
class _Child:
    """A process that runs jobs.

    Attributes:
        pid: its process id.
        backend: alias in TASKS.
        worker: the id of its row.
        heard_at: when it sent its last heartbeat (monotonic clock).
        renewed_at: when its lease was renewed last, by itself or from here.
        unstarted: the jobs that it has claimed and not started.
        cancelled_at: when the cancellation of a job that it holds was first seen.
    """

    pid: int
    backend: str
    worker: UUID
    heard_at: float
    renewed_at: float
    unstarted: UnstartedJobs
    cancelled_at: dict[ClaimKey, float] = field(default_factory=dict)


class Warden:
    """Reads the heartbeats of child processes, in a thread of their parent.

    Create it before the processes are forked, and start it in the parent.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._children: dict[tuple[int, str], _Child] = {}
        self._unread = b""
        self._clock = clock
        self._failed_at = float("-inf")
        """When the database failed, or kept this thread waiting for long, for the last time."""
        self._is_failing = False
        """Whether the last look ended with an error, which was logged."""
        self._unwritten: list[tuple[_Child, Sequence[FinishedJob]]] = []
        """The outcomes of jobs that their processes cannot write, until they are written."""
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def announce(self, backend: str, ring: int, worker: UUID) -> None:
        """Write a heartbeat to the parent; called by child processes.

        Args:
            backend: alias in TASKS.
            ring: the descriptor of the process's `HeldRing`.
            worker: the id of its row.
        """
        with suppress(OSError):  # the parent has died, or does not read
            os.write(self._writer, f"{os.getpid()} {worker.hex} {ring} {backend}\n".encode())

    def start(self) -> None:
        """Watch the child processes."""
        self._thread = threading.Thread(target=self._run, name="offload-warden", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.step()

    def step(self) -> None:
        """Read heartbeats, and do what silent processes cannot do themselves; never raises."""
        self._read()
        try:
            self._look_after_silent(self._clock())
        except Exception as error:  # noqa: BLE001  # the other processes need this thread
            self._failed_at = self._clock()
            if not self._is_failing:
                self._log(error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _look_after_silent(self, now: float) -> None:
        is_used = bool(self._unwritten)
        try:
            self._write_outcomes()
            for key, child in list(self._children.items()):
                options = get_backend(child.backend).settings
                if not _is_child(child.pid):
                    is_used = True
                    self._give_back(child, child.unstarted.of_dead())
                    child.unstarted.close()
                    del self._children[key]
                elif now - child.heard_at > SILENT_HEARTBEATS * options.heartbeat_interval:
                    is_used = True
                    self._look_after(child, options, now)
        finally:
            if is_used:
                # A copy of this process must not share them, and broken ones are of no use.
                connections.close_all()

    def _log(self, error: Exception) -> None:
        if isinstance(error, Error):
            reason = to_terminal_text(error)
            logger.warning("Leases of silent processes were not renewed: %s", reason)
        else:
            logger.error("Silent processes were not looked after.", exc_info=error)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while data := os.read(self._reader, 65536):
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        now = self._clock()
        for line in lines:
            pid, worker, ring, backend = line.decode().split(" ", 3)
            key = int(pid), backend
            known = self._children.get(key)
            if known is not None and known.unstarted.descriptor == int(ring):
                unstarted = known.unstarted
            else:
                unstarted = UnstartedJobs(int(pid), int(ring))
            self._children[key] = _Child(int(pid), backend, UUID(worker), now, now, unstarted)

    def _look_after(self, child: _Child, options: BackendOptions, now: float) -> None:
        """Renew the lease of a silent process, and kill it if a job does not stop."""
        store = get_store(options.database)
        if now - child.heard_at > options.lease and _is_stopped(child.pid):
            logger.error("Process %d was stopped for longer than its lease: killing it.", child.pid)
            self._kill(child)
            return
        if now - child.renewed_at > options.heartbeat_interval:
            store.heartbeat(child.worker, lease=options.lease)
            child.renewed_at = now
        if unstarted := child.unstarted.take_back(now):
            self._give_back(child, unstarted)
            child.unstarted.forget()
        held = store.held_jobs(child.worker)
        for key in [key for key, is_requested in held.items() if is_requested]:
            child.cancelled_at.setdefault(key, now)
        if self._clock() - now > MAX_RETRY_DELAY:
            self._failed_at = self._clock()
        if self._may_recover(child, options, now):
            return
        overdue = _overdue_jobs(store, child, options, now)
        if overdue:
            finished = [(job, unresponsive_outcome(job, kind)) for job, kind in overdue]
            logger.error("Process %d does not stop a job: killing it.", child.pid)
            self._kill(child, finished)

    def _give_back(self, child: _Child, claims: AbstractSet[Claim]) -> None:
        """Release jobs that a process has not started."""
        if claims:
            store = get_store(get_backend(child.backend).settings.database)
            held = store.claimed_by(store.key(child.worker))
            unstarted = [job for job in held if (UUID(job.id), job.fence) in claims]
            self._unwritten.append((child, [(job, released()) for job in unstarted]))
            self._write_outcomes()

    def _may_recover(self, child: _Child, options: BackendOptions, now: float) -> bool:
        """Return whether a process may be silent only because the database did not answer it.

        It tries again after a while, and then has outcomes to write: its jobs ended in time.
        """
        patience = SILENT_HEARTBEATS * options.heartbeat_interval + MAX_RETRY_DELAY
        return now - max(child.heard_at, self._failed_at) <= patience

    def _kill(self, child: _Child, finished: Sequence[FinishedJob] = ()) -> None:
        """Kill a process; then write the outcomes of jobs. A worker with duties rescues others."""
        if finished:
            # Or that worker, which the kernel tells of the exit, might rescue these jobs first.
            store = get_store(get_backend(child.backend).settings.database)
            HostLock(store.address).forget(child.worker)
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        give_up_at = time.monotonic() + EXIT_TIMEOUT
        while _is_child(child.pid) and time.monotonic() < give_up_at:
            self._stopped.wait(0.01)
        if finished:
            self._unwritten.append((child, finished))
            self._write_outcomes()

    def _write_outcomes(self) -> None:
        """Write outcomes for other processes, unless others have the jobs by now."""
        while self._unwritten:
            child, finished = self._unwritten[0]
            using = get_backend(child.backend).settings.database
            store = get_store(using)
            store.exchange(store.key(child.worker), finished, ClaimRequest(child.backend, ()))
            if not _is_child(child.pid):
                store.deregister(child.worker)  # so that its other jobs do not wait for its lease
            del self._unwritten[0]
            notifier = get_notifier(using)
            notifier.notify(Hint.WORK)  # some may run again
            notifier.notify(Hint.CHANGED)


def _overdue_jobs(
    store: Store, child: _Child, options: BackendOptions, now: float
) -> list[tuple[ClaimedJob, type[Interruption]]]:
    """Return the jobs of a silent process that should have stopped by now, and why."""
    time_there = store.current_time()
    return [
        (job, kind)
        for job in store.claimed_by(store.key(child.worker))
        if (kind := _reason_to_stop(job, child, options, now, time_there)) is not None
    ]


def _reason_to_stop(
    job: ClaimedJob, child: _Child, options: BackendOptions, now: float, time_there: int
) -> type[Interruption] | None:
    """Return why a job should have stopped by now; None if it may run on.

    Args:
        job: of a silent process.
        child: the process.
        options: of the backend.
        now: by this process's monotonic clock.
        time_there: by the clock that says when jobs started.
    """
    grace = options.kill_grace_period
    cancelled_at = child.cancelled_at.get(job.key)
    if cancelled_at is not None and now > cancelled_at + grace:
        return JobCancelled
    if job.timeout is None:
        return None
    seconds = (time_there - job.last_attempted_at) / 1_000_000
    return JobTimeout if seconds > job.timeout + grace else None


def _is_child(pid: int) -> bool:
    """Return whether a process is a running child of this one; it is left to be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal; False where the kernel does not say."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "T"
