"""Restarts a worker when code changes: for development."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils.autoreload import StatReloader

from offload.worker.pools.fork_server import can_load_project

CHECK_INTERVAL_SECONDS = 1.0
"""Time between two checks of the files."""


class Reloader:
    """Checks files for changes, as Django's development server does.

    It checks the files of all imported modules and of the project's apps: only child processes
    import tasks, the worker's own process does not.

    Args:
        stop: called once in another thread, after a file has changed.

    Attributes:
        has_seen_change: whether a file has changed.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.has_seen_change = False
        self._stop = stop
        self._reloader = StatReloader()
        self._modified_at: dict[Path, float] = {}
        for folder in _project_folders():
            self._reloader.watch_dir(folder, "**/*.py")

    def start(self) -> None:
        """Record the files' modification times and start the thread."""
        self._modified_at = self._read_times()
        threading.Thread(target=self._run, name="offload-reloader", daemon=True).start()

    def wait_until_loadable(self, report: Callable[[str], None], *, is_known_bad: bool) -> None:
        """Return when another process can load the code; until then wait for changes.

        Args:
            report: called with a message before each wait.
            is_known_bad: whether it could not be loaded as it was when this object was started.
        """
        pause = threading.Event().wait
        while True:
            modified_at = self._read_times()
            self._check_files()
            is_bad = is_known_bad and not self.has_seen_change
            if not is_bad and can_load_project():
                if self._read_times() == modified_at:
                    return
                continue  # a half-saved file may load, too, but lack some tasks
            report("The code cannot be loaded, so jobs wait. Waiting for the next change.")
            while self._read_times() == modified_at:
                pause(CHECK_INTERVAL_SECONDS)
            is_known_bad = False

    def _run(self) -> None:
        pause = threading.Event().wait
        while not self.has_seen_change:
            self._check_files()
            pause(CHECK_INTERVAL_SECONDS)
        self._stop()

    def _check_files(self) -> None:
        for path, modified_at in self._reloader.snapshot_files():
            # A file that appears here for the first time was imported later; it has not changed.
            if self._modified_at.setdefault(path, modified_at) != modified_at:
                self.has_seen_change = True

    def _read_times(self) -> dict[Path, float]:
        return dict(self._reloader.snapshot_files())


def _project_folders() -> set[Path]:
    """Return the folders of the settings and of all apps that were not installed by pip."""
    folders = {Path(config.path) for config in apps.get_app_configs()}
    settings_module = sys.modules.get(settings.SETTINGS_MODULE or "")
    settings_file = getattr(settings_module, "__file__", None)
    if settings_file:
        folders.add(Path(settings_file).parent)
    return {folder for folder in folders if "site-packages" not in folder.parts}
