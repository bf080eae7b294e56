"""A project on SQLite whose settings are those of `startproject`, with a worker's defaults."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from tests.crash.processes import Process
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="it has its own database")

SETTINGS = """
INSTALLED_APPS += ["offload", "mysite"]
TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
"""
TASKS = '''
from concurrent.futures import ThreadPoolExecutor
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import transaction
from offload import task

def change(name):
    """Read and then write in one transaction, twice, as most projects do."""
    for number in range(2):
        with transaction.atomic():
            count = Group.objects.count()
            Group.objects.create(name=f"{name}-{number}-{count}")

@task
def write(name):
    change(name)

@task(atomic=True)
def write_atomically(name):
    change(name)

@task
async def awrite(name):
    await sync_to_async(change)(name)

@task
def write_in_threads(name):
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(change, [f"{name}-a", f"{name}-b"]))
'''
WEB = """
import sys
import django
django.setup()
from django.db import connection
from mysite import tasks
for number in range(20):
    for task in (tasks.write, tasks.write_atomically, tasks.awrite, tasks.write_in_threads):
        task.enqueue(f"{sys.argv[1]}-{task.name}-{number}")
    tasks.change(f"{sys.argv[1]}-web-{number}")
    connection.close()
"""
OPTIONS = 'DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}\n'


class Project:
    """A project in a folder, with the output of its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "db.sqlite3"
        call_command("startproject", "mysite", folder)
        with (folder / "mysite" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        (folder / "mysite" / "tasks.py").write_text(TASKS)
        (folder / "web.py").write_text(WEB)
        self.processes: list[Process] = []

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "mysite.settings"}

    def manage(self, *arguments: str) -> str:
        """Return the output of a command."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> Process:
        log = self.folder / f"output-{len(self.processes)}"
        path = str(self.folder / arguments[0])
        process = Process(
            [path, *arguments[1:]], {**self.environment, "PYTHONPATH": str(self.folder)}, log
        )
        self.processes.append(process)
        return process

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database, timeout=20)) as database:
            return database.execute(sql).fetchall()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    for process in project.processes:
        process.kill()


def test_no_job_and_no_request_meets_a_locked_database(project: Project):
    with (project.folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(OPTIONS)
    assert "now uses a write-ahead log" in project.manage("migrate")
    assert "write-ahead" not in project.manage("migrate")
    assert "no issues" in project.manage("check", "--fail-level", "WARNING")

    worker = project.start("manage.py", "offload_worker", "--no-reload", "--processes", "2")
    web = [project.start("web.py", f"web{number}") for number in range(2)]
    assert [process.wait() for process in web] == [0, 0], web[0].output + web[1].output
    wait_until(
        lambda: not project.query("SELECT 1 FROM offload_job WHERE state <= 3"), "all jobs finish"
    )

    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert project.query("SELECT state, max(attempt), count(*) FROM offload_job GROUP BY 1") == [
        (4, 1, 160)
    ], worker.output[-3000:]
    assert project.query("SELECT count(*) FROM auth_group") == [(480,)]
    assert not re.search("locked|does not respond", worker.output), worker.output


def test_a_worker_makes_up_for_options_that_the_project_does_not_set(project: Project):
    """Here the file was made without us, and the project's own transactions are deferred."""
    project.manage("migrate", "auth")
    project.manage("migrate", "-v0")
    project.query("PRAGMA journal_mode = delete")
    (project.folder / "enqueue.py").write_text(WEB.replace("    tasks.change", "    # "))
    assert project.start("enqueue.py", "jobs").wait() == 0

    worker = project.start("manage.py", "offload_worker", "--no-reload", "--drain")
    assert worker.wait() == 0

    assert "now uses a write-ahead log" in worker.output
    assert project.query("SELECT state, max(attempt), count(*) FROM offload_job GROUP BY 1") == [
        (4, 1, 80)
    ], worker.output[-3000:]
    assert project.query("PRAGMA journal_mode") == [("wal",)]
