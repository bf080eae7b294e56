"""Progress of the jobs of one process, on its way to the worker."""

from __future__ import annotations

from collections.abc import Callable

from offload.progress import ProgressReporter
from offload.store.records import ClaimKey


class ProgressBuffer:
    """Reporters whose progress changed since it was last read. Tasks add them from any thread.

    Args:
        wake: called after each addition.
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._changed: list[ProgressReporter] = []
        self._wake = wake

    def __bool__(self) -> bool:
        return bool(self._changed)

    def add(self, reporter: ProgressReporter) -> None:
        """Add a reporter whose progress changed."""
        self._changed.append(reporter)
        if self._wake is not None:
            self._wake()

    def read(self, now: float) -> dict[ClaimKey, str]:
        """Return the progress that is due, as JSON text by claim key; keep the rest.

        The progress of a finished attempt is always due. Read it after taking the attempt's
        report, so that the last progress is passed on before the outcome.

        Args:
            now: monotonic clock.
        """
        count = len(self._changed)
        changed = self._changed[:count]
        del self._changed[:count]
        progress: dict[ClaimKey, str] = {}
        for reporter in changed:
            if reporter.is_due(now):
                progress[reporter.key] = reporter.read(now)
            else:
                self._changed.append(reporter)
        return progress
