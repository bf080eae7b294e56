"""Jobs that run again soon, for which a draining worker waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from offload.lifecycle import WAITING

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.store.records import FinishedJob
    from offload.worker.claiming.served_queues import ServedQueues

MAX_DELAY = 60.0
"""Seconds until a job runs again for which a draining worker waits, at most."""
RECHECK_INTERVAL = 0.25
"""Seconds between two checks of a job that is due and still waits."""


class Reruns:
    """The jobs that failed or lost their process here, and run again within MAX_DELAY seconds.

    Snoozed jobs are left out: they may snooze each time.

    Args:
        store: the queue.
        served: the queues that the worker serves.
        clock: returns seconds.
    """

    def __init__(
        self, store: Store, served: ServedQueues, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._served = served
        self._clock = clock
        self._due_at: dict[UUID, float] = {}

    def add(self, finished: Iterable[FinishedJob]) -> None:
        """Remember those of the jobs that run again soon, in a queue that the worker serves."""
        now = self._clock()
        for job, outcome in finished:
            runs_again = outcome.state in WAITING and outcome.failure is not None
            if runs_again and outcome.delay <= MAX_DELAY and self._served.includes(job):
                self._due_at[UUID(job.id)] = now + outcome.delay

    def are_waiting(self) -> bool:
        """Return whether some of the jobs still wait; forget those that were claimed meanwhile."""
        now = self._clock()
        if self._due_at and min(self._due_at.values()) <= now:
            due = [job for job, due_at in self._due_at.items() if due_at <= now]
            waiting = {
                job.pk
                for job in self._store.find(due)
                if job.state in WAITING and self._served.among([job.queue_name])
            }
            for job in due:
                if job in waiting:
                    self._due_at[job] = now + RECHECK_INTERVAL
                else:
                    del self._due_at[job]
        return bool(self._due_at)
