"""The engine: it claims jobs, writes how they ended, beats, and runs no user code.

One loop, one thread. Whenever outcomes wait or there is room for jobs, it exchanges both with
the database in one transaction. While that is under way outcomes pile up and make the next
batch: idle, a job is finished at once; loaded, batches grow by themselves.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, connections

from offload.conf import BackendOptions
from offload.failpoints import failpoint
from offload.lifecycle import JobState, released
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimKey, ClaimRequest, FinishedJob
from offload.wakeup import Wakeup
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.completer import BatchCompleter
from offload.worker.outage import Outage
from offload.worker.pools.base import interrupted_outcome
from offload.worker.timers import Timer
from offload.worker.upkeep.maintenance import Maintenance
from offload.worker.upkeep.registration import Registration

if TYPE_CHECKING:
    from offload.worker.pools.base import Pool

logger = logging.getLogger("offload.worker")

LINGER = 0.005
"""Seconds that outcomes wait for others at most, while executors have jobs enough."""
TICK = 0.1
"""Seconds between two looks at time limits while jobs run."""
LAST_WORDS = 5.0
"""Seconds in which outcomes are written at the end, if the database does not answer."""


class Engine:
    """Args:
    backend: alias in TASKS whose jobs it runs.
    queues: names of the queues it serves; none for all that have jobs.
    excluded: names of queues it does not serve, if it serves all others.
    options: the backend's options.
    pool: where jobs run.
    drain: end when no job is ready.
    """

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
        self._backend = backend
        self._queues = list(queues)
        self._options = options
        self._pool = pool
        self._drain = drain
        self._store = get_store(options.database)
        self._notifier = get_notifier(options.database)
        self._floors = Watermarks(self._store, backend, queues, excluded)
        self._lookout = Poller(self._floors, options)
        self._outbox = BatchCompleter(self._store)
        self._registration = Registration(self._store, backend, self._queues, pool, options.lease)
        self._wakeup = Wakeup()
        self._deadline: float | None = None
        self._has_recalled = False
        self._disowned: set[ClaimKey] = set()
        """Jobs that others took over while they ran here."""
        self._outage = Outage(options.database)
        self._audience = ChangeHints(self._notifier)
        self._beat = Timer(self._do_beat, options.heartbeat_interval)
        upkeep = Maintenance(
            self._floors,
            self._registration,
            options,
            pool,
            look=self._lookout.expect,
            ring=self._ring_others,
        )
        self._promotion = upkeep.promotion
        self._duties = [*upkeep.duties, self._audience.duty]

    def run(self) -> None:
        """Work until `stop` is called, or until no job is ready if it drains."""
        self._store.enable_keepalives()
        self._pool.start()
        self._lookout.open(self._promotion)
        failpoint("worker.started")
        try:
            while not self._is_done():
                self._step()
        finally:
            self._leave()

    def stop(self) -> None:
        """End in order; called again, end now. May be called from any thread or a signal."""
        now = time.monotonic()
        self._deadline = now if self._deadline else now + self._options.shutdown_timeout
        self._wakeup.notify()

    def _step(self) -> None:
        self._wait()
        self._pool.enforce_limits()
        self._take_in(self._collect())
        if time.monotonic() < self._outage.retry_at:
            return
        try:
            self._registration.ensure()
            now = time.monotonic()
            # First a sign of life: who stood still too long must not claim under its old id.
            self._beat.run_if_due(now)
            # Then jobs, as somebody may wait for them; but an exchange that meets locks again
            # and again must not keep the duties from being done.
            if not self._outage.is_contended:
                self._exchange_if_due()
            for duty in self._duties:
                duty.run_if_due(now)
            self._exchange_if_due()
            self._recover()
        except (DatabaseError, InterfaceError) as error:
            self._outage.meet(error)

    # --- waiting ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for a hint, an ended job, a signal, or the time of the next duty."""
        readers, writers = self._pool.descriptors()
        if self._outbox.is_gathering and self._pool.is_backed_up:
            readers = []  # what ends meanwhile joins the next exchange: no need to wake for each
        listening = self._lookout.fileno()
        poll = select.poll()
        for reader in (self._wakeup.fileno(), listening, *readers):
            if reader is not None:
                poll.register(reader, select.POLLIN)
        for writer in writers:
            poll.register(writer, select.POLLIN | select.POLLOUT)
        events = {descriptor for descriptor, _ in poll.poll(self._patience() * 1000)}
        if self._wakeup.fileno() in events:
            self._wakeup.clear()
        if listening in events or listening is None:
            self._heed(self._lookout.hints())
        if not events:
            self._lookout.expect_if_changed()
        self._lookout.look_if_due()

    def _patience(self) -> float:
        """Return the seconds that the engine may wait."""
        now = time.monotonic()
        if now < self._outage.retry_at:
            return min(TICK, self._outage.retry_at - now)
        if self._is_due():
            return 0.0
        times = [
            now + self._outbox.due_in(linger=LINGER),
            self._lookout.look_at,
            *(duty.due_at for duty in (self._beat, *self._duties)),
        ]
        if self._deadline is not None:
            times.append(self._deadline)
        longest = TICK if self._pool.held_jobs() else self._lookout.interval
        return max(0.0, min(longest, min(times) - now))

    def _heed(self, hints: set[Hint]) -> None:
        if Hint.CONTROL in hints:
            self._beat.hasten()
        if Hint.WATCH in hints:
            self._audience.remember()

    def _collect(self) -> list[FinishedJob]:
        """Return how jobs ended; one that was stopped because we lost it was not cancelled."""
        return [
            (job, interrupted_outcome(job, "its engine did not beat in time"))
            if job.key in self._disowned and outcome.state == JobState.CANCELLED
            else (job, outcome)
            for job, outcome in self._pool.collect()
        ]

    def _take_in(self, ended: Sequence[FinishedJob]) -> None:
        """Keep how jobs ended, and how far others are, until it has been written."""
        self._outbox.note(self._pool.progress())
        self._outbox.add(ended)
        if any(outcome.written for _, outcome in ended):
            self._audience.tell()  # of all others it is told when they have been written

    # --- the exchange -----------------------------------------------------------------------

    def _room(self) -> ClaimRequest:
        """Return what the engine can take now, of what may be there."""
        if self._deadline is not None or self._outbox.is_full:
            return ClaimRequest(self._backend, ())
        hungry = self._lookout.hungry
        threads, slots = (
            self._pool.capacity(is_async=lane) if hungry[lane] else 0 for lane in (False, True)
        )
        return ClaimRequest(self._backend, self._queues or ("*",), threads, slots)

    def _is_due(self) -> bool:
        """Tell whether it is time for an exchange: to bring jobs, or to write what lingered.

        As long as executors have jobs enough, outcomes wait for each other a little: a
        transaction for each would cost more than many a job.
        """
        if self._deadline is not None:
            return self._outbox.due_in() <= 0
        if not self._outbox.is_full and any(
            self._lookout.hungry[lane] and self._pool.should_refill(is_async=lane)
            for lane in (False, True)
        ):
            return True
        return self._outbox.due_in(linger=LINGER if self._pool.is_backed_up else 0.0) <= 0

    def _exchange_if_due(self) -> None:
        if self._is_due():
            self._exchange()

    def _exchange(self) -> None:
        room = self._floors.aim(self._room())
        batch = self._outbox.next_batch()
        if not (batch or room or self._outbox.has_progress):
            if room.sync_slots or room.async_slots:
                self._lookout.hungry = [False, False]
            return
        exchange = self._outbox.exchange(self._registration.key, batch, room)
        failpoint("worker.exchanged")
        if room:
            self._lookout.learn(room, exchange)
        if exchange.claimed:
            self._pool.submit(exchange.claimed)
        if exchange.claimed or exchange.progress_written:
            self._audience.tell_soon()
        if batch:
            self._tell(batch, exchange.refused)

    def _tell(self, batch: Sequence[FinishedJob], refused: Sequence[ClaimedJob]) -> None:
        """Wake ourselves for the jobs of a batch that run again, and who watches jobs."""
        # After a failure, what stands there already may be what we wrote ourselves.
        if refused and not self._outage:
            ids = ", ".join(job.id for job in refused)
            logger.warning("Outcomes came too late, others hold these jobs: %s", ids)
        waits = [outcome.delay for _, outcome in batch if outcome.state == JobState.SCHEDULED]
        if waits:
            self._promotion.hasten(min(waits))
        if any(outcome.state == JobState.READY for _, outcome in batch):
            self._lookout.expect()
            self._notifier.notify(Hint.WORK)  # another engine may have room for them
        self._audience.tell()

    def _ring_others(self) -> None:
        """Tell of jobs that were made ready: other engines may have room for them."""
        self._notifier.notify(Hint.WORK)
        self._audience.tell()

    # --- signs of life ----------------------------------------------------------------------

    def _do_beat(self) -> None:
        self._registration.beat()
        # Who took this engine for dead runs the jobs again that it claimed under an earlier id.
        mine = self._registration.key
        self._disowned = {job.key for job in self._pool.held_jobs() if job.worker != mine}
        self._pool.cancel(list(self._disowned))
        held = self._registration.holdings({job.key for job in self._pool.held_jobs()})
        self._pool.cancel([key for key, is_wanted in held.items() if is_wanted])
        self._hand_back_unknown(held.keys())
        self._outbox.forget_progress(held.keys())

    # --- outages ----------------------------------------------------------------------------

    def _recover(self) -> None:
        """Go on after an outage."""
        if self._outage:
            self._hand_back_unknown(self._store.held_jobs(self._registration.id).keys())
            logger.warning("The job queue answers again.")
            self._lookout.expect()
        self._outage.end()

    def _hand_back_unknown(self, held: AbstractSet[ClaimKey]) -> None:
        """Release the jobs that were claimed by an exchange whose answer never came.

        Its commit may become visible late, so this is looked after at every beat.
        """
        known = {job.key for job in self._pool.held_jobs()} | self._outbox.keys
        if held - known:
            claimed = self._store.claimed_by(self._registration.key)
            self._outbox.add((job, released()) for job in claimed if job.key not in known)

    # --- the end ----------------------------------------------------------------------------

    def _is_done(self) -> bool:
        if self._deadline is not None:
            if not self._has_recalled:
                self._pool.release_waiting()
                self._has_recalled = True
            idle = not self._pool.held_jobs() and not self._outbox
            return idle or time.monotonic() >= self._deadline
        if self._drain:
            return not self._lookout.expects and not self._pool.held_jobs() and not self._outbox
        return False

    def _leave(self) -> None:
        """Hand back what is left, write all outcomes, and go."""
        failpoint("worker.stopping")
        self._pool.stop()
        self._take_in(self._collect())
        give_up_at = time.monotonic() + LAST_WORDS
        try:
            while not self._say_goodbye() and time.monotonic() < give_up_at:
                self._wakeup.wait(TICK)
        finally:
            self._lookout.close()
            self._registration.presence.close()
            self._wakeup.close()
            connections.close_all()

    def _say_goodbye(self) -> bool:
        """Write the last outcomes and remove the engine's row; return False if that failed."""
        try:
            self._hand_back_unknown(self._store.held_jobs(self._registration.id).keys())
            while batch := self._outbox.next_batch():
                room = ClaimRequest(self._backend, ())
                self._tell(
                    batch, self._outbox.exchange(self._registration.key, batch, room).refused
                )
            if self._outbox:
                return False
            failpoint("worker.stopped")
            self._registration.leave()
        except (DatabaseError, InterfaceError) as error:
            self._outage.meet(error)
            return False
        return True
