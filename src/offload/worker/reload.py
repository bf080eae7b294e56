"""Restarting a worker when its code changes, for development."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from django.utils.autoreload import StatReloader

PAUSE = 1.0
"""Seconds between two looks at the files."""


class Reloader:
    """Watches the files of all imported modules, as Django's own development server does.

    Args:
        stop: called once, when a file has changed.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.has_seen_change = False
        self._stop = stop
        self._files = StatReloader()

    def start(self) -> None:
        """Watch from a thread of its own."""
        threading.Thread(target=self._watch, name="offload-reloader", daemon=True).start()

    def _watch(self) -> None:
        seen: dict[Path, float] = {}
        pause = threading.Event()
        while not self.has_seen_change:
            for path, changed in self._files.snapshot_files():
                if seen.setdefault(path, changed) != changed:
                    self.has_seen_change = True
            pause.wait(PAUSE)
        self._stop()
