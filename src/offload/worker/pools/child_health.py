"""Signs that a child process is of no more use, although it has not exited."""

from __future__ import annotations

from pathlib import Path

from offload.worker.pools.time_limits import (
    CLOSED_TIMEOUT,
    READY_TIMEOUT,
    STOPPED_CHECK_INTERVAL,
)


class Stopwatch:
    """How long a condition has been true without a break."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self, now: float, *, is_true: bool) -> float:
        """Return for how long it has been true; 0 if it is false."""
        if not is_true:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = now
        return now - self._since


class ChildHealth:
    """Finds what is wrong with a child process.

    Args:
        pid: its process id.
        max_stopped: seconds for which a signal (SIGSTOP) may stop it.
    """

    def __init__(self, pid: int, max_stopped: float) -> None:
        self._pid = pid
        self._max_stopped = max_stopped
        self._starting = Stopwatch()
        self._closed = Stopwatch()
        self._stopped = Stopwatch()
        self._check_at = 0.0

    def find_fault(self, now: float, *, is_ready: bool, is_closed: bool) -> str | None:
        """Return why the process must be killed; None if it need not.

        Args:
            now: monotonic clock.
            is_ready: whether it has said that it accepts jobs.
            is_closed: whether it has closed its connection.
        """
        if self._starting.seconds(now, is_true=not is_ready) > READY_TIMEOUT:
            return f"it was not ready after {READY_TIMEOUT:g} s"
        if self._closed.seconds(now, is_true=is_closed) > CLOSED_TIMEOUT:
            return "it closed its connection to the worker"
        if now >= self._check_at:
            self._check_at = now + STOPPED_CHECK_INTERVAL
            seconds = self._stopped.seconds(now, is_true=_is_stopped(self._pid))
            if seconds > self._max_stopped:
                return f"a signal stopped it for longer than the lease of {self._max_stopped:g} s"
        return None


def _is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped a process; False where that cannot be read."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"
