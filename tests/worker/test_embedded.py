"""A worker in another program's threads: how it starts again, and how it stops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

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


FORKING_PROGRAM = """
import os, sys
import django
django.setup()
from django.db import connections
from offload.models import Worker
from offload.worker.embedded import EmbeddedWorker
from tests.tasks import add
from tests.worker.conftest import until
worker = EmbeddedWorker()
worker.start()
until(Worker.objects.exists)
connections.close_all()
copy = os.fork()
if copy == 0:
    assert not worker.is_running
    worker.start()
    until(lambda: Worker.objects.count() == 2)
    assert add.enqueue(1).wait(20).return_value == 1
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 3
assert worker.is_running
assert Worker.objects.count() == 1
assert add.enqueue(1).wait(20).return_value == 1
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


@pytest.fixture
def run_program(process_environment: Mapping[str, str], tmp_path: Path) -> Callable[[str], Any]:
    """Run a program with the path of a file that does not exist."""
    environment: dict[str, Any] = {
        **process_environment,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "OFFLOAD_TEST_EVENT_LOG": str(tmp_path / "diary"),
    }

    def run(program: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "gate")],
            env=environment,
            cwd=ROOT,
            timeout=60,
            check=False,
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="a copy waits forever for a lock inside SQLite that a thread held at the fork",
)
def test_a_server_may_fork_its_workers_after_the_worker_has_started(run_program):
    """As gunicorn does with `--preload`."""
    done = run_program(FORKING_PROGRAM)

    assert done.returncode == 0, done.stderr
    assert not Worker.objects.exists()


def test_an_async_task_may_use_the_database_while_its_program_exits(run_program):
    done = run_program(PROGRAM)

    assert done.returncode == 0, done.stderr
    assert Job.objects.get().state == JobState.SUCCESSFUL, done.stderr
    assert not Worker.objects.exists()
