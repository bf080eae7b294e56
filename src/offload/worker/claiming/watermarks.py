"""Where a claim starts: at the head of each queue, or where the last claim stopped.

While any transaction is open, PostgreSQL and InnoDB keep the index entries of all jobs claimed
since it started, and a claim from the head of a queue scans them. Once such a claim is slow, the
worker claims from behind its watermarks. Only now and then does it *sweep*, that is, claim from
the heads: for jobs that are more urgent or older than the watermarks, and jobs in other queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from offload.store.records import ClaimRequest, ExchangeResult, PollResult, Watermark
from offload.worker.cooldown import Cooldown

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.claiming.served_queues import ServedQueues

MAX_QUEUES_UNCHECKED = 4
"""A claim from more queues than this first queries which of them have ready jobs."""


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
        self._kinds_to_sweep: set[bool] = set()
        """The kinds, by `is_async`, of which a claim found too few jobs behind the watermarks."""

    @property
    def needs_sweep(self) -> bool:
        """Whether jobs may be ready that the last claims could not find."""
        return bool(self._kinds_to_sweep)

    @property
    def seconds_to_sweep(self) -> float:
        """Seconds for which claims use watermarks; 0 if the next claim is a sweep."""
        return self._cooldown.remaining if self._watermarks else 0.0

    def narrow(self, request: ClaimRequest) -> ClaimRequest:
        """Return the request limited to queues with ready jobs, or to those with watermarks."""
        self._ready_queues_seconds = 0.0
        if not request:
            return request
        for key in [key for key in self._watermarks if key[0] in self._served.paused]:
            del self._watermarks[key]
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
            for is_async, claimed, full in request.count_by_kind(result.claimed):
                if claimed < full:
                    self._kinds_to_sweep.add(is_async)
        for job in result.claimed:  # the last one of each kind stays
            key = (job.queue_name, job.is_async, job.priority)
            self._watermarks[key] = Watermark(*key, job.run_after, job.id)

    def poll(self) -> tuple[PollResult, bool]:
        """Query which queues have ready jobs, and when scheduled and limited jobs are due.

        Returns:
            What the poll found; and whether it left out the queues, which would be slow.
        """
        if self.seconds_to_sweep:
            # No backend has this name: no queue is read, but scheduled jobs of all backends are.
            return self._store.poll(""), True
        started_at = self._clock()
        result = self._store.poll(self._served.backend)
        if not self._served.among(result.queues):
            self._record_no_ready_jobs(self._clock() - started_at)
        return result, False

    def _finish_sweep(self, request: ClaimRequest, result: ExchangeResult) -> None:
        """Record a sweep for the requested kinds; delay the next one if this one was slow."""
        for is_async, count in request.by_kind():
            if count > 0:
                self._kinds_to_sweep.discard(is_async)
        self._cooldown.start(result.claim_seconds + self._ready_queues_seconds)

    def _find_ready_queues(self) -> set[str]:
        started_at = self._clock()
        queues = self._served.among(self._store.ready_queues(self._served.backend))
        self._ready_queues_seconds = self._clock() - started_at
        if not queues:
            self._record_no_ready_jobs(self._ready_queues_seconds)
        return queues

    def _record_no_ready_jobs(self, took: float) -> None:
        """Record that no job is ready, so that no sweep is needed."""
        self._kinds_to_sweep.clear()
        self._cooldown.start(took)
