"""The loop of a worker: it claims jobs, writes their outcomes, and runs no user code.

It has one thread. When outcomes wait or the pool has capacity, the loop exchanges both with the
database in one transaction. Meanwhile jobs finish and form the next batch: in an idle worker an
outcome is written at once, and under load the batches grow.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, connections

from offload.backends.base import get_backend
from offload.conf import BackendOptions
from offload.failpoints import failpoint
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.wakeup import Wakeup
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.machine_load import MachineLoad
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.reruns import Reruns
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.completer import BatchCompleter
from offload.worker.exchanges import Exchanges
from offload.worker.held_jobs import HeldJobs
from offload.worker.outage import Outage
from offload.worker.timers import NEVER, Duty, Timer
from offload.worker.upkeep.limit_numbers import LimitUpkeep
from offload.worker.upkeep.maintenance import Maintenance
from offload.worker.upkeep.parked_jobs import ParkedUpkeep
from offload.worker.upkeep.registration import Registration
from offload.worker.upkeep.schedules import ScheduleUpkeep
from offload.worker.upkeep.unsent_jobs import UnsentJobs
from offload.worker.upkeep.workflow_notices import WorkflowUpkeep

if TYPE_CHECKING:
    from offload.notifier import Notifier
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")

TICK = 0.1
"""Seconds between two checks of time limits while jobs run."""
FINAL_WRITE_TIMEOUT = 5.0
"""Seconds in which a stopping worker tries to write outcomes if the database does not respond."""


class Engine:
    """The loop of a worker.

    Args:
        backend: alias in TASKS whose jobs it runs.
        queues: names of the queues it serves; empty for all queues with jobs.
        excluded: names of queues it does not serve.
        options: the backend's options.
        pool: runs the jobs.
        drain: stop when no job is left that could run now.

    Attributes:
        on_stopping: called with the running jobs, if any, before the worker waits for their end.
    """

    on_stopping: Callable[[Sequence[ClaimedJob]], None] | None = None
    _sending: UnsentJobs | None = None
    """Sends messages about jobs whose backend has a broker."""

    def __init__(
        self,
        *,
        backend: str,
        queues: Sequence[str],
        options: BackendOptions,
        pool: Pool,
        excluded: Sequence[str] = (),
        drain: bool = False,
    ) -> None:
        self._options = options
        self._store = get_store(options.database)
        notifier = get_notifier(options.database)
        self._hints = ChangeHints(notifier)
        self.pool = pool
        served = ServedQueues(
            backend, frozenset(queues), frozenset(excluded), options.limits_of_queues
        )
        self.poller = self._make_poller(notifier, served)
        if drain:
            self.poller.reruns = Reruns(self._store, served)
        self.is_drained = False
        """Whether a draining worker has found no more jobs that could run."""
        self._has_finished_jobs = False
        """Whether jobs have finished since a draining worker has looked for further ones."""
        self.completer = BatchCompleter(self._store)
        names = self._registered_names(served)
        self.registration = Registration(self._store, backend, names, pool, options.lease)
        self._held_jobs = HeldJobs(self._store, self.registration, pool, self.completer)
        self._maintenance = Maintenance(self._store, self.registration, options, pool, self.poller)
        self._heartbeat = Timer(self._send_heartbeat, options.heartbeat_interval)
        self._duties = self._make_duties()
        self._outage = Outage(options.database)
        self._wakeup = Wakeup()
        self._exchanges = Exchanges(
            self.registration, pool, self.poller, self.completer, self._hints, self._outage
        )
        self._exchanges.load = MachineLoad(options.max_load, self._note_load)
        self._duties.append(self._exchanges.load.timer)
        self._deadline: float | None = None
        """Until when running jobs may finish, once the worker stops (monotonic clock)."""

    def _make_poller(self, notifier: Notifier, served: ServedQueues) -> Poller:
        """Return what decides which jobs to claim."""
        return Poller(
            self._store,
            notifier,
            served=served,
            poll_interval=self._options.poll_interval,
            hints=self._hints,
        )

    def _registered_names(self, served: ServedQueues) -> Sequence[str]:
        """Return the queues that the worker's row names."""
        return served.registered_names

    def _make_duties(self) -> list[Duty]:
        """Return what the loop does besides claims, outcomes and heartbeats."""
        backend = self.registration.backend
        limits = LimitUpkeep(self._store, backend, self.pool)
        schedules = ScheduleUpkeep(self._store, backend, self.pool, self.poller)
        workflows = WorkflowUpkeep(
            self._store, self.registration, self.pool, self.poller, self._hints
        )
        parked = ParkedUpkeep(self._store, self.poller)
        duties: list[Duty] = [self.poller, self.poller.rules, parked, schedules, workflows]
        duties += [limits.timer, schedules.timer, *self._maintenance.timers, self._hints]
        messenger = get_backend(backend).messenger
        if messenger is not None:
            self._sending = UnsentJobs(self._store, self.poller, messenger)
            duties.append(self._sending)
        return duties

    def run(self) -> None:
        """Run jobs until `stop` is called, or until no job is left if it drains."""
        self._store.dedicate_connection()
        if line := self._store.enable_concurrency():
            logger.warning(line)
        self._exchanges.load.read()
        self.pool.start()
        failpoint("worker.started")
        try:
            while self._deadline is None and not self.is_drained:
                self.step()
            self._finish_running_jobs()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """Make `run` return after the running jobs have finished; at once on a second call.

        Safe in any thread and in a signal handler.
        """
        self._exchanges.claims = False
        now = time.monotonic()
        self._deadline = now if self._deadline else now + self._options.shutdown_timeout
        self._wakeup.notify()

    def wake(self) -> None:
        """Let the loop make its next step at once; safe in any thread."""
        self._wakeup.notify()

    def step(self) -> None:
        """Wait until something happens or is due, and handle it."""
        self._wait()
        self.pool.enforce_limits()
        self._collect()
        if time.monotonic() < self._outage.retry_at:
            return
        try:
            self.registration.ensure_registered()
            now = time.monotonic()
            # Before the exchange: a worker that stalled must not claim under its old id.
            self._heartbeat.run_if_due(now)
            # Before the duties, as clients may wait for the jobs; after them while exchanges keep
            # failing at locks, or the duties would never run.
            if not self._outage.is_contended:
                self._exchanges.run_if_due()
            for duty in self._duties:
                duty.run_if_due(now)
            self._exchanges.run_if_due()
            self._resume_after_outage()
            self._check_whether_drained()
        except (DatabaseError, InterfaceError) as error:
            self._outage.record(error)
            if self._outage:  # afterwards the worker's row may be gone, and with it its claims
                self._heartbeat.make_due()

    # --- waiting ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for a hint, a finished job, `stop`, or the next duty."""
        ready = self._wait_for_descriptors()
        if self._wakeup.fileno() in ready:
            self._wakeup.clear()
        hints = self.poller.receive(ready)
        if Hint.CONTROL in hints:
            self._heartbeat.make_due()
        if Hint.WORK in hints and self._sending is not None:
            self._sending.expect()
        if Hint.WATCH in hints:
            self._hints.remember_subscribers()

    def _wait_for_descriptors(self) -> set[int]:
        """Return the descriptors that became ready; none after a timeout."""
        readers, writers = self.pool.descriptors()
        if self.completer.is_gathering and self.pool.is_backed_up:
            readers = []  # jobs that finish meanwhile join the next exchange
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        listener = self.poller.fileno()
        if listener is not None:
            poll.register(listener, select.POLLIN)
        for reader in readers:
            poll.register(reader, select.POLLIN)
        for writer in writers:
            poll.register(writer, select.POLLIN | select.POLLOUT)
        return {descriptor for descriptor, _ in poll.poll(self._seconds_to_wait() * 1000)}

    def _seconds_to_wait(self) -> float:
        now = time.monotonic()
        if now < self._outage.retry_at:
            return min(TICK, self._outage.retry_at - now)
        due_in = self._exchanges.due_in
        if due_in <= 0:
            return 0.0
        next_times = [duty.due_at for duty in self._duties]
        next_times.append(self._heartbeat.due_at)
        next_times.append(now + due_in)
        if self._deadline is not None:
            next_times.append(self._deadline)
        max_wait = self.poller.max_wait if self.pool.is_empty else TICK
        return max(0.0, min(max_wait, min(next_times) - now))

    def _collect(self) -> None:
        """Move finished jobs and progress from the pool to the completer."""
        finished = self._held_jobs.actual_outcomes(self.pool.collect())
        self.completer.add_progress(self.pool.progress())
        self.completer.add(finished)
        self._has_finished_jobs = self._has_finished_jobs or bool(finished)
        self.poller.jobs_ended(finished)
        if any(outcome.written for _, outcome in finished):
            self._hints.jobs_changed()  # the tasks wrote these: no exchange sends the hint

    # --- the heartbeat ----------------------------------------------------------------------

    def _send_heartbeat(self) -> None:
        """Renew the lease, and compare the jobs in the pool with those in the database."""
        self._close_old_connection()
        if not self.registration.heartbeat():
            self._held_jobs.find_lost()
            self.poller.expect_jobs()  # without the row, claims found none
        self._held_jobs.compare()

    def _note_load(self) -> None:
        """Let health checks see in the worker's row whether the load pauses its claims."""
        self.registration.high_load = self._exchanges.load.current
        self._heartbeat.make_due()

    def _close_old_connection(self) -> None:
        """Close the worker's own connection if it has passed its CONN_MAX_AGE.

        Without an age it is kept: a new one for each exchange would cost too much.
        """
        connection = connections[self._options.database]
        if connection.settings_dict["CONN_MAX_AGE"]:
            connection.close_if_unusable_or_obsolete()

    def _resume_after_outage(self) -> None:
        if self._outage:
            self._held_jobs.release_unknown()
            logger.warning("The job queue answers again.")
            self.poller.expect_jobs()
        self._outage.clear()

    # --- stopping ---------------------------------------------------------------------------

    def _check_whether_drained(self) -> None:
        """End a drain if no job is left that could run, also of workers that have died by now."""
        if self.poller.reruns is None or self._may_have_jobs():
            return
        if self._has_finished_jobs:  # which may have made others ready: the hint may come late
            self.poller.poll()
            self._has_finished_jobs = False
        self._send_heartbeat()
        self._maintenance.rescue()
        self.is_drained = not (self._may_have_jobs() or self._maintenance.has_suspects_with_jobs())

    def _may_have_jobs(self) -> bool:
        """Return whether jobs run, may be ready, or run again soon."""
        reruns = self.poller.reruns
        if self.pool.is_announcing or not self._is_idle:
            return True
        if self.poller.expects_jobs or self.poller.limited.are_left:
            return True
        if self.poller.awaits_rates or self.poller.parked_at < NEVER:
            return True
        if self.poller.limited_due_in(self.pool) <= 0.0 or self.poller.workflow_notices_at < NEVER:
            return True
        return reruns is not None and reruns.are_waiting()

    @property
    def _is_idle(self) -> bool:
        return self.pool.is_empty and not self.completer

    def _finish_running_jobs(self) -> None:
        """After `stop`, release the jobs that have not started and wait for the others."""
        if self._deadline is None:
            return
        self.pool.release_waiting()
        running = self.pool.running_jobs()
        if running and self.on_stopping is not None and time.monotonic() < self._deadline:
            self.on_stopping(running)
        while not self._is_idle and time.monotonic() < self._deadline:
            self.step()

    def _shut_down(self) -> None:
        """Stop the pool, write all outcomes, and deregister the worker."""
        failpoint("worker.stopping")
        self.pool.stop()
        self._collect()
        give_up_at = time.monotonic() + FINAL_WRITE_TIMEOUT
        try:
            while not self._try_to_deregister() and time.monotonic() < give_up_at:
                self._wakeup.wait(TICK)
        finally:
            self.poller.close()
            self.registration.host_lock.close()
            self._wakeup.close()
            connections.close_all()

    def _try_to_deregister(self) -> bool:
        """Write the last outcomes and remove the worker's row; return False if that failed."""
        try:
            self._held_jobs.release_unknown()
            self._exchanges.write_all()
            if self.completer:
                return False
            self._hints.flush()
            failpoint("worker.stopped")
            self.registration.deregister()
        except (DatabaseError, InterfaceError) as error:
            self._outage.record(error)
            return False
        return True
