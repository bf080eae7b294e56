"""Waiting for results: asks often at first, and less and less often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from offload.celery_results.library import BaseBackend, TimeoutError, states  # noqa: A004

FIRST_PAUSE = 0.002
"""Seconds before the second question."""
PAUSE_FACTOR = 1.5


class Pauses:
    """The pauses of one wait, each longer than the one before.

    Args:
        longest: seconds of the longest pause.
        timeout: seconds until the wait is over; None for never.
    """

    def __init__(self, longest: float, timeout: float | None) -> None:
        self._longest = max(longest, FIRST_PAUSE)
        self._pause = FIRST_PAUSE
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def wait(self) -> None:
        """Wait for the next pause.

        Raises:
            TimeoutError: Celery's, if the wait is over.
        """
        pause = self._pause
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("The operation timed out.")
            pause = min(pause, left)
        threading.Event().wait(pause)
        self._pause = min(self._pause * PAUSE_FACTOR, self._longest)


class Waiting(BaseBackend):  # type: ignore[misc]  # untyped
    """What a result backend does for those who wait."""

    supports_native_join = True

    def get_metas(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the results of tasks, by one query."""
        raise NotImplementedError

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> dict[str, Any]:
        self._ensure_not_eager()
        pauses = Pauses(interval, timeout)
        while True:
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if on_interval is not None:  # also at the end: a parent in a chain may have failed
                on_interval()
            if meta["status"] in states.READY_STATES:
                return meta
            pauses.wait()

    def get_many(  # noqa: PLR0913, PLR0917
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the results of tasks in the order in which they end."""
        waiting = list(dict.fromkeys(task_ids))
        pauses = Pauses(interval, timeout)
        rounds = 0
        while waiting:
            metas = self.get_metas(waiting)
            ended = {pk: m for pk, m in metas.items() if m["status"] in states.READY_STATES}
            self._cache.update(ended)
            for task_id, meta in ended.items():
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta
            waiting = [task_id for task_id in waiting if task_id not in ended]
            rounds += 1
            if not waiting or (max_iterations and rounds >= max_iterations):
                return
            if on_interval is not None:
                on_interval()
            pauses.wait()
