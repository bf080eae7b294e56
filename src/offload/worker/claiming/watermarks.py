"""Where a claim starts: at the head of each queue, or where the last claim stopped.

While a transaction is open somewhere, PostgreSQL and InnoDB keep the index entries of all jobs
that were claimed since it started, and a claim from the head of a queue scans them. Once such a
claim is slow, the worker claims from behind its watermarks. Only now and then it *sweeps*: it
claims from the heads, for jobs that are more urgent or older than the watermarks, and for jobs in
other queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from offload.store.records import ClaimRequest, ExchangeResult, Watermark
from offload.worker.cooldown import Cooldown

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.claiming.served_queues import ServedQueues

MAX_QUEUES_UNCHECKED = 4
"""A claim from more queues than this is limited to those with ready jobs, by one query before."""


class Watermarks:
    """The last job claimed of each queue, kind and priority, while sweeps are slow.

    Args:
        store: the queue.
        served: the queues that the worker serves.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        served: ServedQueues,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._served = served
        self._clock = clock
        self._cooldown = Cooldown(clock)
        """Between two sweeps."""
        self._watermarks: dict[tuple[str, bool, int], Watermark] = {}
        """By queue, kind and priority."""
        self._ready_queues_seconds = 0.0
        """How long the query for the queues of the current sweep took."""
        self._owed_kinds: set[bool] = set()
        """`is_async` of the kinds of which a claim found too few jobs behind the watermarks."""

    @property
    def owes_sweep(self) -> bool:
        """Whether jobs may be ready that the last claims could not find."""
        return bool(self._owed_kinds)

    @property
    def seconds_to_sweep(self) -> float:
        """Seconds for which claims use watermarks; 0 if the next claim is a sweep."""
        return self._cooldown.remaining if self._watermarks else 0.0

    def aim(self, request: ClaimRequest) -> ClaimRequest:
        """Return the request with the queues and watermarks for the next claim."""
        self._ready_queues_seconds = 0.0
        if not request:
            return request
        if self.seconds_to_sweep:
            watermarks = sorted(self._watermarks.values(), key=Watermark.urgency)
            queues = sorted({watermark.queue_name for watermark in watermarks})
            return replace(request, queues=queues, watermarks=watermarks)
        if 0 < len(self._served.names) <= MAX_QUEUES_UNCHECKED:
            return request
        return replace(request, queues=sorted(self._find_ready_queues()))

    def learn(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Update the watermarks after a claim."""
        if not request or not self._store.keeps_dead_entries:
            return
        if not request.watermarks:
            self._finish_sweep(request, result)
            if self._cooldown.is_over:
                self._watermarks.clear()
                return
        else:
            counts = request.count_by_kind(result.claimed)
            self._owed_kinds.update(is_async for is_async, found, asked in counts if found < asked)
        for job in result.claimed:  # the last one of each kind stays
            key = (job.queue_name, job.is_async, job.priority)
            self._watermarks[key] = Watermark(*key, job.run_after, job.id)

    def poll(self) -> tuple[Sequence[str] | None, float | None]:
        """Query which queues have ready jobs and when the next scheduled job is due.

        Returns:
            The names of the queues, or None if that query would be slow; and the seconds until
            the next scheduled job is due, or None if there is no such job.
        """
        if self.seconds_to_sweep:
            # This backend has no queues. Scheduled jobs are found whatever their backend.
            _, due_in = self._store.poll("")
            return None, due_in
        started_at = self._clock()
        queues, due_in = self._store.poll(self._served.backend)
        if not self._served.among(queues):
            self._found_nothing(self._clock() - started_at)
        return queues, due_in

    def _finish_sweep(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Owe no more sweep of the requested kinds; the next one waits if this one was slow."""
        requested = (is_async for is_async, count in request.by_kind() if count > 0)
        self._owed_kinds.difference_update(requested)
        self._cooldown.start(result.claim_seconds + self._ready_queues_seconds)

    def _find_ready_queues(self) -> set[str]:
        started_at = self._clock()
        queues = self._served.among(self._store.ready_queues(self._served.backend))
        self._ready_queues_seconds = self._clock() - started_at
        if not queues:
            self._found_nothing(self._ready_queues_seconds)
        return queues

    def _found_nothing(self, took: float) -> None:
        """Owe no sweep, as no job is ready."""
        self._owed_kinds.clear()
        self._cooldown.start(took)
