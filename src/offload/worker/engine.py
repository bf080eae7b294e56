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
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, connections

from offload.conf import BackendOptions
from offload.failpoints import failpoint
from offload.lifecycle import JobState, Outcome, released
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimKey, ClaimRequest, ExchangeResult, FinishedJob
from offload.wakeup import Wakeup
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.reruns import Reruns
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.completer import BatchCompleter
from offload.worker.outage import Outage
from offload.worker.pools.base import interrupted_outcome
from offload.worker.timers import Duty, Timer
from offload.worker.upkeep.maintenance import Maintenance
from offload.worker.upkeep.registration import Registration

if TYPE_CHECKING:
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")

MAX_LINGER = 0.005
"""Seconds that outcomes wait for others at most, while the pool has enough jobs."""
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
        served = ServedQueues(backend, frozenset(queues), frozenset(excluded))
        self.poller = Poller(
            self._store,
            notifier,
            served=served,
            poll_interval=options.poll_interval,
            hints=self._hints,
        )
        if drain:
            self.poller.reruns = Reruns(self._store, served)
        self.is_drained = False
        """Whether a draining worker has found no more jobs that could run."""
        self.completer = BatchCompleter(self._store)
        self.registration = Registration(
            self._store, backend, served.registered_names, pool, options.lease
        )
        self._maintenance = Maintenance(self._store, self.registration, options, pool, self.poller)
        self._heartbeat = Timer(self._send_heartbeat, options.heartbeat_interval)
        self._duties: list[Duty] = [self.poller, *self._maintenance.timers, self._hints]
        self._outage = Outage(options.database)
        self._wakeup = Wakeup()
        self._no_claim = ClaimRequest(backend, ())
        self._deadline: float | None = None
        """Until when running jobs may finish, once the worker stops (monotonic clock)."""
        self._lost_keys: set[ClaimKey] = set()
        """Jobs that run here although the worker does not hold them any more."""

    def run(self) -> None:
        """Run jobs until `stop` is called, or until no job is left if it drains."""
        self._store.dedicate_connection()
        if line := self._store.enable_concurrency():
            logger.warning(line)
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
        now = time.monotonic()
        self._deadline = now if self._deadline else now + self._options.shutdown_timeout
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
                self._exchange_if_due()
            for duty in self._duties:
                duty.run_if_due(now)
            self._exchange_if_due()
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
        if self._is_exchange_due():
            return 0.0
        next_times = [duty.due_at for duty in self._duties]
        next_times.append(self._heartbeat.due_at)
        next_times.append(now + self.completer.due_in(linger=MAX_LINGER))
        if self._deadline is not None:
            next_times.append(self._deadline)
        max_wait = TICK if self.pool.held_jobs() else self.poller.max_wait
        return max(0.0, min(max_wait, min(next_times) - now))

    def _collect(self) -> None:
        """Move finished jobs and progress from the pool to the completer."""
        finished = self.pool.collect()
        if self._lost_keys:
            finished = [(job, self._actual_outcome(job, outcome)) for job, outcome in finished]
        self.completer.add_progress(self.pool.progress())
        self.completer.add(finished)
        if any(outcome.written for _, outcome in finished):
            self._hints.jobs_changed()  # the tasks wrote these: no exchange sends the hint

    def _actual_outcome(self, job: ClaimedJob, outcome: Outcome) -> Outcome:
        """Return the outcome; a job that was stopped because it was lost was not cancelled."""
        if job.key in self._lost_keys and outcome.state == JobState.CANCELLED:
            return interrupted_outcome(job, "its worker lost it")
        return outcome

    # --- the exchange -----------------------------------------------------------------------

    def _is_exchange_due(self) -> bool:
        """Return whether to claim jobs or write outcomes now.

        While the pool has enough jobs, outcomes wait a moment to share a transaction: one for each
        outcome would cost more than a short job.
        """
        if self._deadline is not None:
            return self.completer.due_in() <= 0
        if not self.completer.is_full and self.poller.should_claim(self.pool):
            return True
        linger = MAX_LINGER if self.pool.is_backed_up else 0.0
        return self.completer.due_in(linger=linger) <= 0

    def _exchange_if_due(self) -> None:
        if self._is_exchange_due():
            self._exchange()

    def _exchange(self) -> None:
        """Write outcomes and progress and claim jobs in one transaction; then send hints."""
        request = self._claim_request()
        if not (request or self.completer.has_writes):
            return
        finished, result = self.completer.exchange(self.registration.key, request)
        failpoint("worker.exchanged")
        if request:
            self.poller.learn(request, result)
        if result.claimed:
            self.pool.submit(result.claimed)
        if result.claimed or result.progress_written:
            self._hints.jobs_changed_soon()
        if finished:
            self._publish(finished, result)

    def _claim_request(self) -> ClaimRequest:
        if self._deadline is not None or self.completer.is_full:
            return self._no_claim
        return self.poller.claim_request(self.pool)

    def _publish(self, finished: Sequence[FinishedJob], result: ExchangeResult) -> None:
        """Notify workers of the jobs that will run again, and subscribers of all jobs."""
        # In an outage, outcomes are refused too if only the answer to an earlier write was lost.
        if result.refused and not self._outage:
            ids = ", ".join(job.id for job in result.refused)
            logger.warning("Discarded outcomes of jobs that this worker had lost: %s", ids)
        if result.cancelled:
            self.pool.announce_finished(result.cancelled)
        states = {outcome.state for _, outcome in finished}
        self.poller.jobs_run_again(finished)
        if JobState.READY in states:
            self.poller.jobs_made_ready()
        else:
            self._hints.jobs_changed()

    # --- the heartbeat ----------------------------------------------------------------------

    def _send_heartbeat(self) -> None:
        """Renew the lease, and compare the jobs in the pool with those in the database."""
        self._close_old_connection()
        if not self.registration.heartbeat():
            self._find_lost_jobs()
            self.poller.expect_jobs()  # without the row, claims found none
        self._stop_lost_jobs()
        held = self.registration.held_jobs({job.key for job in self.pool.held_jobs()})
        self.pool.cancel([key for key, is_cancel_requested in held.items() if is_cancel_requested])
        self._release_unknown_jobs(held.keys())
        self.completer.retain_progress(held.keys())

    def _find_lost_jobs(self) -> None:
        """Find the jobs in the pool that others have taken over, or whose rows are gone."""
        held = self._store.held_jobs(self.registration.id)
        self._lost_keys = {job.key for job in self.pool.held_jobs()} - held.keys()

    def _close_old_connection(self) -> None:
        """Close the worker's own connection if it has passed its CONN_MAX_AGE.

        Without an age it is kept: a new one for each exchange would cost too much.
        """
        connection = connections[self._options.database]
        if connection.settings_dict["CONN_MAX_AGE"]:
            connection.close_if_unusable_or_obsolete()

    def _stop_lost_jobs(self) -> None:
        """Stop the lost jobs, and those claimed under an earlier id: others run them."""
        worker = self.registration.key
        self._lost_keys = {
            job.key
            for job in self.pool.held_jobs()
            if job.worker != worker or job.key in self._lost_keys
        }
        self.pool.cancel(list(self._lost_keys))

    def _release_unknown_jobs(self, held: AbstractSet[ClaimKey]) -> None:
        """Release jobs that were claimed by an exchange whose answer was lost.

        Its commit may become visible late, so each heartbeat checks this.
        """
        known = {job.key for job in self.pool.held_jobs()} | self.completer.keys
        if held - known:
            claimed = self._store.claimed_by(self.registration.key)
            self.completer.add((job, released()) for job in claimed if job.key not in known)

    def _resume_after_outage(self) -> None:
        if self._outage:
            self._release_unknown_jobs(self._store.held_jobs(self.registration.id).keys())
            logger.warning("The job queue answers again.")
            self.poller.expect_jobs()
        self._outage.clear()

    # --- stopping ---------------------------------------------------------------------------

    def _check_whether_drained(self) -> None:
        """End a drain if no job is left that could run, also of workers that have died by now."""
        if self.poller.reruns is None or self._may_have_jobs():
            return
        self._send_heartbeat()
        self._maintenance.rescue()
        self.is_drained = not (self._may_have_jobs() or self._maintenance.has_suspects_with_jobs())

    def _may_have_jobs(self) -> bool:
        """Return whether jobs run, may be ready, or run again soon."""
        reruns = self.poller.reruns
        if not self._is_idle or self.poller.expects_jobs:
            return True
        return reruns is not None and reruns.are_waiting()

    @property
    def _is_idle(self) -> bool:
        return not self.pool.held_jobs() and not self.completer

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
            self._release_unknown_jobs(self._store.held_jobs(self.registration.id).keys())
            while self.completer.has_batch:
                finished, result = self.completer.exchange(self.registration.key, self._no_claim)
                self._publish(finished, result)
            if self.completer:
                return False
            failpoint("worker.stopped")
            self.registration.deregister()
        except (DatabaseError, InterfaceError) as error:
            self._outage.record(error)
            return False
        return True
