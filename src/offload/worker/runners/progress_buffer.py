"""How far the jobs of this process are, for whoever passes it on to the engine."""

from __future__ import annotations

from collections.abc import Callable

from offload.progress import ProgressReporter
from offload.store.records import ClaimKey


class ProgressBuffer:
    """The reporters that changed and were not read since. Tasks add them from any thread.

    Args:
        wake: called with each that is added.
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._moved: list[ProgressReporter] = []
        self._wake = wake

    def __bool__(self) -> bool:
        return bool(self._moved)

    def add(self, reporter: ProgressReporter) -> None:
        """Take in a reporter that moved."""
        self._moved.append(reporter)
        if self._wake is not None:
            self._wake()

    def read(self, now: float) -> dict[ClaimKey, str]:
        """Return where those stand that are due; the others are kept.

        That of an attempt that is over is always due: read after its report was taken, so that
        its last word comes before the outcome.

        Args:
            now: monotonic clock.
        """
        count = len(self._moved)
        moved = self._moved[:count]
        del self._moved[:count]
        stand: dict[ClaimKey, str] = {}
        for reporter in moved:
            if reporter.is_due(now):
                stand[reporter.key] = reporter.read(now)
            else:
                self._moved.append(reporter)
        return stand
