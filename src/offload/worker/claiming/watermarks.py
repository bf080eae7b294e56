"""From where an engine claims: from the head of each queue, or from where its last claim ended.

While a transaction is open somewhere, PostgreSQL and InnoDB keep the index entries of all jobs
that were claimed since it began, and a claim from the head of a queue walks along them. If that
takes long, the engine claims from behind them, and sweeps over all of it only now and then: for
jobs that are more urgent than those it saw, or older, or in other queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from offload.store.records import ClaimRequest, ExchangeResult, Watermark
from offload.worker.cooldown import Cooldown

if TYPE_CHECKING:
    from offload.store.base import Store

MANY_QUEUES = 4
"""Queues above which one statement tells which have jobs, before a claim looks into each."""


class Watermarks:
    """Args:
    store: the queue.
    backend: alias in TASKS whose jobs the engine runs.
    queues: names of the queues it serves; none for all that have jobs.
    excluded: names of queues it does not serve, if it serves all others.
    clock: returns seconds; another one in tests.
    """

    def __init__(
        self,
        store: Store,
        backend: str,
        queues: Collection[str] = (),
        excluded: Collection[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._backend = backend
        self._queues = frozenset(queues)
        self._excluded = frozenset(excluded)
        self._clock = clock
        self._rest = Cooldown(clock)
        self._floors: dict[tuple[str, bool, int], Watermark] = {}
        """Of each queue, kind of job, and priority."""
        self._naming = 0.0
        """Seconds that it took to find the queues for the sweep that is under way."""
        self._owed: set[bool] = set()
        """Kinds of jobs of which too few were above the floors: there may be more below."""

    @property
    def owes_sweep(self) -> bool:
        """Whether jobs may be ready that the last claims could not see."""
        return bool(self._owed)

    @property
    def sweeps_in(self) -> float:
        """The seconds for which floors are used; 0 if the next claim is a sweep."""
        return self._rest.left if self._floors else 0.0

    def serves(self, queues: Collection[str]) -> set[str]:
        """Return those of the queues that the engine serves."""
        return set(self._queues or queues).intersection(queues) - self._excluded

    def aim(self, room: ClaimRequest) -> ClaimRequest:
        """Return the room with the queues and the floors that the next claim is to use."""
        self._naming = 0.0
        if not room:
            return room
        if self.sweeps_in:
            floors = sorted(self._floors.values(), key=Watermark.urgency)
            return replace(
                room, queues=sorted({floor.queue_name for floor in floors}), watermarks=floors
            )
        if self._queues and len(self._queues) <= MANY_QUEUES:
            return room
        begun = self._clock()
        ready = self.serves(self.store.ready_queues(self._backend))
        self._naming = self._clock() - begun
        if not ready:
            self._found_nothing(self._naming)
        return replace(room, queues=sorted(ready))

    def learn(self, room: ClaimRequest, exchange: ExchangeResult) -> None:
        """Take in how a claim with this room went."""
        if not room or not self.store.keeps_dead_entries:
            return
        if room.watermarks:
            counts = room.found(exchange.claimed)
            self._owed.update(lane for lane, found, asked in counts if found < asked)
        else:
            self._owed.difference_update(lane for lane, count in room.by_kind() if count > 0)
            self._rest.begin(exchange.claim_seconds + self._naming)
            if self._rest.is_over:
                self._floors.clear()
                return
        for job in exchange.claimed:  # the last one of each kind stays
            place = (job.queue_name, job.is_async, job.priority)
            self._floors[place] = Watermark(*place, job.run_after, job.id)

    def glance(self) -> tuple[Sequence[str] | None, float | None]:
        """Tell what an idle engine asks for.

        Returns:
            The names of the queues in which jobs are ready, None if that would take long to
            find; and the seconds until the next scheduled job is due, None if there is none.
        """
        if self.sweeps_in:
            return None, self.store.poll("")[1]  # what is due is the same for all backends
        begun = self._clock()
        queues, due = self.store.poll(self._backend)
        if not self.serves(queues):
            self._found_nothing(self._clock() - begun)
        return queues, due

    def _found_nothing(self, took: float) -> None:
        """No job is ready at all: there is nothing to sweep for."""
        self._owed.clear()
        self._rest.begin(took)
