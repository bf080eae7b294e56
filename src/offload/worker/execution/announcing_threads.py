"""Threads in which the receivers of signals are called: slow ones must hold up nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class AnnouncingThreads:
    """The threads in which a process sends the signals of jobs that it has not run.

    Args:
        max_seconds: for which `finish` waits at most.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._threads: list[threading.Thread] = []

    def start(self, announce: Callable[..., None], *arguments: Any) -> None:
        """Call a function, which sends signals, in a thread of its own."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=announce, args=arguments, daemon=True))
        self._threads[-1].start()

    def finish(self) -> None:
        """Wait for the receivers: a worker that drains stops right after the last workflow."""
        deadline = time.monotonic() + self._max_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
