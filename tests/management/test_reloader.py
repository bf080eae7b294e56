"""A worker starts again when the project's code changes, also code that only children import."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from django.apps import AppConfig, apps

from offload.management import reloader as reload
from offload.management.reloader import Reloader


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an app whose `tasks` nobody has imported."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "tasks.py").write_text("")
    config = type("Shop", (AppConfig,), {"path": str(folder)})("shop", reload)
    monkeypatch.setattr(apps, "get_app_configs", lambda: [config])
    monkeypatch.setattr(reload, "PAUSE", 0.02)
    return folder


def test_sees_a_change_in_a_module_that_this_process_did_not_import(app):
    stopped = threading.Event()
    reloader = Reloader(stopped.set)
    reloader.start()

    assert not stopped.wait(0.3)

    os.utime(app / "tasks.py", (1, 1))

    assert stopped.wait(20)
    assert reloader.has_seen_change
