"""Restarting a worker when its code changes, for development."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils.autoreload import StatReloader

PAUSE = 1.0
"""Seconds between two looks at the files."""


class Reloader:
    """Watches the files of all imported modules, as Django's own development server does.

    And those of the project's apps: the engine imports no task, only its children do.

    Args:
        stop: called once, when a file has changed.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.has_seen_change = False
        self._stop = stop
        self._files = StatReloader()
        for folder in _folders_of_project():
            self._files.watch_dir(folder, "**/*.py")

    def start(self) -> None:
        """Watch from a thread of its own; what changes from now on is seen."""
        self._seen = dict(self._files.snapshot_files())
        threading.Thread(target=self._watch, name="offload-reloader", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not self.has_seen_change:
            for path, changed in self._files.snapshot_files():
                if self._seen.setdefault(path, changed) != changed:
                    self.has_seen_change = True
            pause.wait(PAUSE)
        self._stop()


def _folders_of_project() -> set[Path]:
    """Return the folders of the settings and of all apps that were not installed by pip."""
    folders = {Path(config.path) for config in apps.get_app_configs()}
    settings_file = getattr(sys.modules.get(settings.SETTINGS_MODULE or ""), "__file__", None)
    if settings_file:
        folders.add(Path(settings_file).parent)
    return {folder for folder in folders if "site-packages" not in folder.parts}
