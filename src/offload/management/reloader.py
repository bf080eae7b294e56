"""Stops a worker when code changes, so that it is restarted: for development."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils.autoreload import StatReloader

CHECK_INTERVAL_SECONDS = 1.0
"""Time between two checks of the files."""


class Reloader:
    """A thread that checks files for changes, as Django's development server does.

    It checks the files of all imported modules and of the project's apps: only child processes
    import tasks, the worker's own process does not.

    Args:
        stop: called once, after a file has changed.

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
        self._modified_at = dict(self._reloader.snapshot_files())
        threading.Thread(target=self._run, name="offload-reloader", daemon=True).start()

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


def _project_folders() -> set[Path]:
    """Return the folders of the settings and of all apps that were not installed by pip."""
    folders = {Path(config.path) for config in apps.get_app_configs()}
    settings_module = sys.modules.get(settings.SETTINGS_MODULE or "")
    settings_file = getattr(settings_module, "__file__", None)
    if settings_file:
        folders.add(Path(settings_file).parent)
    return {folder for folder in folders if "site-packages" not in folder.parts}
