"""A worker in another program's threads: how it starts again, and how it stops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from offload import JobState
from offload.models import Job, Worker
from offload.worker import embedded as module
from offload.worker.embedded import EmbeddedWorker
from tests.tasks import add
from tests.worker.conftest import until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)

PROGRAM = """
import sys, threading
from pathlib import Path
import django
django.setup()
from offload.worker.embedded import EmbeddedWorker
from tests.worker.conftest import has_started, until
from tests.worker.tasks import ahold_and_use_database
result = ahold_and_use_database.enqueue(sys.argv[1])
EmbeddedWorker().start()
until(lambda: has_started(result))
threading._register_atexit(Path(sys.argv[1]).touch)  # called first, as it is the last one
"""


def test_a_worker_that_failed_is_started_again(monkeypatch, caplog):
    class Broken:
        def run(self) -> None:
            raise RuntimeError("broken")

    worker = EmbeddedWorker()
    monkeypatch.setattr(module, "_call_at_exit", lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(module, "make_engine", lambda _: Broken())
        worker.start()
        until(lambda: not worker.is_running)
    assert "this process runs no jobs" in caplog.text

    worker.start()
    try:
        assert add.enqueue(1).wait(20).return_value == 1
    finally:
        worker.stop()


def test_an_async_task_may_use_the_database_while_its_program_exits(
    process_environment: Mapping[str, str], tmp_path: Path
):
    environment: dict[str, Any] = {
        **process_environment,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "OFFLOAD_TEST_EVENT_LOG": str(tmp_path / "diary"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "gate")],
        env=environment,
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert Job.objects.get().state == JobState.SUCCESSFUL, done.stderr
    assert not Worker.objects.exists()
