"""The engine in another program's threads: how it begins again, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from offload import JobState
from offload.models import Job, Worker
from offload.worker import embedded as module
from offload.worker.embedded import EmbeddedEngine
from tests.tasks import add
from tests.worker import tasks

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)

PROGRAM = """
import django
django.setup()
from offload.worker.embedded import EmbeddedEngine
from tests.worker.conftest import begun, until
from tests.worker.tasks import ause_database_at_exit
result = ause_database_at_exit.enqueue()
EmbeddedEngine().start()
until(lambda: begun(result))
"""


def test_an_engine_that_died_is_started_again(monkeypatch, caplog):
    class Broken:
        def run(self) -> None:
            raise RuntimeError("broken")

    engine = EmbeddedEngine()
    monkeypatch.setattr(module, "_at_exit", lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(module, "make_engine", lambda _: Broken())
        engine.start()
        assert engine._thread is not None
        engine._thread.join(20)
    assert "no job runs here" in caplog.text

    engine.start()
    try:
        assert add.enqueue(1).wait(20).return_value == 1
    finally:
        engine.stop()


def test_an_async_task_may_use_the_database_while_its_program_ends(
    process_environment: Mapping[str, str], tmp_path: Path
):
    environment: dict[str, Any] = {
        **process_environment,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "OFFLOAD_TEST_DIARY": str(tmp_path / "diary"),
        "PYTHONPATH": os.fspath(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    row = Job.objects.get()
    assert (row.state, row.task_path) == (
        JobState.SUCCESSFUL,
        tasks.ause_database_at_exit.module_path,
    ), done.stderr
    assert not Worker.objects.exists()
