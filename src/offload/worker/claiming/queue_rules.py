"""Reads the rules that operators have set: pauses and limits of queues, and pauses of tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from offload.policies.queue_limits import limits_in_force
from offload.worker.timers import NEVER

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.worker.claiming.served_queues import ServedQueues

MAX_AGE = 1.0
"""Seconds for which a worker goes by the rules that it has read."""


class KnownRules:
    """Reads rules before the first claim, and when a claim is due and they are older than MAX_AGE.

    A worker without work reads nothing, unless a queue or a task is paused: then it reads until
    none is.

    Args:
        store: the queue.
        served: the queues that the worker serves, which get their pauses and limits.
        on_resume: called when jobs of a queue may start again.
        on_task_resume: called when jobs of a task may start again.
        clock: returns seconds.
    """

    def __init__(
        self,
        store: Store,
        served: ServedQueues,
        *,
        on_resume: Callable[[], None],
        on_task_resume: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._served = served
        self._on_resume = on_resume
        self._on_task_resume = on_task_resume
        self._clock = clock
        self._valid_until = 0.0
        self._next_end = NEVER
        """When the first pause ends by itself."""
        self._has_news = False
        """Whether some task may be paused, as a poll has found."""

    @property
    def due_at(self) -> float:
        """When to read them without a claim."""
        if not (self._served.paused or self._served.paused_tasks or self._has_news):
            return NEVER
        return min(self._valid_until, self._next_end)

    def expire(self) -> None:
        """Read them before the next claim, and at once while a queue or a task is paused."""
        self._valid_until = 0.0

    def expect_pauses(self) -> None:
        """Read them soon, as jobs of a paused task are parked."""
        self._has_news = True

    def run_if_due(self, now: float) -> None:
        """Read them while a queue or a task is paused, so that no hint is needed for the end."""
        if now >= self.due_at:
            self.read()

    def read_if_old(self) -> None:
        """Read them before a claim."""
        now = self._clock()
        if now >= min(self._valid_until, self._next_end):
            self.read()

    def read(self) -> None:
        """Read which queues and tasks are paused, and which queues have limits."""
        now = self._clock()
        rules = self._store.rules(self._served.backend)
        self._served.limits = limits_in_force(self._served.settings, rules.limits)
        if self._served.limits:
            self._store.add_queues(self._served.backend, self._served.limits)
        paused = frozenset(rules.paused_queues)
        self._valid_until = now + MAX_AGE
        self._has_news = False
        ends = [pause.ends_in for pause in rules.pauses if pause.ends_in is not None]
        self._next_end = now + min(ends, default=NEVER)
        has_resumed = not self._served.paused <= paused
        has_resumed_tasks = not self._served.paused_tasks.keys() <= rules.tasks.keys()
        self._served.paused, self._served.paused_tasks = paused, rules.ids_of_paused
        if has_resumed:
            self._on_resume()
        if has_resumed_tasks:
            self._on_task_resume()
