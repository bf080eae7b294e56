"""Refuses the jobs of full queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.db import connections, transaction
from django.dispatch import receiver

from offload.conf import BackendOptions
from offload.exceptions import QueueFull

if TYPE_CHECKING:
    from offload.store.base import Store
    from offload.store.queue_records import QueueRule

PROBE_INTERVAL = 1.0
"""Seconds between two looks at a queue by one process."""
SEARCH_INTERVAL = 10.0
"""Seconds between two looks for limits while no queue of the backend has one."""
PROBE_TIME_FACTOR = 20
"""A slow look is repeated after this many times its duration."""
RETRY_AFTER = 5.0
"""Seconds after which a refused caller should try again."""
MAX_RETRY_AFTER = 3600.0
"""The same, at most, if the queue is paused."""


@dataclass(slots=True)
class _Room:
    """How many jobs a queue takes before the next look at it."""

    free: int = 0
    valid_until: float = 0.0


class QueueGuard:
    """Knows about how many jobs the queues of a backend still take.

    Each process looks at a queue at most once a second, and counts the jobs that it adds meanwhile.
    So several processes together may add some more.

    Args:
        backend: alias in TASKS.
        options: the backend's options.
        clock: returns seconds.
    """

    def __init__(
        self,
        backend: str,
        options: BackendOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._change: Callable[[], None] | None = None
        """The hook of a change in a transaction of this process that has not ended."""
        self.forget()

    def forget(self) -> None:
        """Look at everything again before the next job."""
        self._rules: dict[str, QueueRule] = {}
        self._rules_until = 0.0
        self._rooms: dict[str, _Room] = {}

    def forget_with(self, using: str) -> None:
        """Look again after a change of this transaction, and also if it is rolled back."""
        self.forget()

        def changed() -> None:
            self._change = None
            self.forget()

        self._change = changed
        transaction.on_commit(changed, using=using)

    def admit(self, store: Store, queue: str, count: int) -> None:
        """Require that a queue takes some more jobs.

        Raises:
            QueueFull: if it does not.
        """
        self._forget_undone_change(store.using)
        # Another thread that looks may wait for a lock that this one holds: it is not waited for.
        if self._lock.acquire(blocking=False):
            try:
                self._look(store, queue)
            finally:
                self._lock.release()
        maximum, room = self._maximum(queue), self._rooms.get(queue)
        if maximum is None or room is None:
            return
        if room.free < count:
            raise QueueFull(queue, maximum, retry_after=self._retry_after(queue))
        room.free -= count

    def _look(self, store: Store, queue: str) -> None:
        """Read the rules and count the waiting jobs, if the last time was long enough ago."""
        now = self._clock()
        if store.connection.needs_rollback:  # the insert will say so
            return
        if now >= self._rules_until:
            self._read_rules(store, now)
        maximum = self._maximum(queue)
        if maximum is None:
            return
        room = self._rooms.setdefault(queue, _Room(maximum))
        if now >= room.valid_until:
            store.prepare_read_before_insert()
            room.free = maximum - store.count_waiting(self._backend, queue, maximum)
            room.valid_until = now + self._interval_after(now)

    def _forget_undone_change(self, using: str) -> None:
        """Look again if a change was rolled back: then Django has dropped its hook."""
        hooks: list[Any] = connections[using].run_on_commit
        if self._change is not None and not any(hook[1] is self._change for hook in hooks):
            self._change = None
            self.forget()

    def _read_rules(self, store: Store, now: float) -> None:
        # Later, even if the query fails: other jobs do not wait for it again.
        self._rules_until = now + PROBE_INTERVAL
        store.prepare_read_before_insert()
        self._rules = store.queue_rules(self._backend, is_logged=False)
        has_limit = any(self._maximum(name) for name in {*self._options.queue_limits, *self._rules})
        self._rules_until = now + (PROBE_INTERVAL if has_limit else SEARCH_INTERVAL)

    def _maximum(self, queue: str) -> int | None:
        limits = self._options.limits_of_queue(queue)
        if queue in self._rules:
            limits = limits.replaced(self._rules[queue].change.limits)
        return limits.max_queued

    def _interval_after(self, started_at: float) -> float:
        return max(PROBE_INTERVAL, PROBE_TIME_FACTOR * (self._clock() - started_at))

    def _retry_after(self, queue: str) -> float:
        pause = self._rules[queue].pause if queue in self._rules else None
        ends_in = 0.0 if pause is None else pause.ends_in or 0.0
        return min(max(RETRY_AFTER, ends_in), MAX_RETRY_AFTER)


_guards: dict[str, QueueGuard] = {}
"""Those of this process, by backend: Django makes a backend object for each thread."""


def guard_of(backend: str, options: BackendOptions) -> QueueGuard:
    """Return the guard of a backend's queues in this process."""
    guard = _guards.get(backend)
    if guard is None:
        guard = _guards.setdefault(backend, QueueGuard(backend, options))
    return guard


@receiver(setting_changed)
def _forget_with_tasks(*, setting: str, **_: Any) -> None:
    if setting == "TASKS":
        _guards.clear()
