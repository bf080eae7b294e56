"""A worker restarts when code changes, also code that only its child processes import."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from django.apps import AppConfig, apps

from offload.management import reloader
from offload.management.reloader import Reloader


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the folder of an app whose `tasks` module is not imported."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "tasks.py").write_text("")
    config = type("Shop", (AppConfig,), {"path": str(folder)})("shop", reloader)
    monkeypatch.setattr(apps, "get_app_configs", lambda: [config])
    monkeypatch.setattr(reloader, "CHECK_INTERVAL_SECONDS", 0.02)
    return folder


def test_detects_a_change_in_a_module_that_is_not_imported(app):
    stopped = threading.Event()
    watching = Reloader(stopped.set)
    watching.start()

    assert not stopped.wait(0.3)

    os.utime(app / "tasks.py", (1, 1))

    assert stopped.wait(20)
    assert watching.has_seen_change
