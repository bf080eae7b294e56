"""Child processes of a project whose imports query a database through Django's connection pool."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from django.db import connection

from offload.models import Job
from offload.results import OffloadResult
from tests.crash.scenario import Scenario
from tests.tasks import add

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="Django has connection pools for PostgreSQL only"
)

SETTINGS = """
from tests.settings import *
DATABASES["default"]["OPTIONS"]["pool"] = True
INSTALLED_APPS += ["pooled"]
"""
TASKS = """
import os
from django.db import connection
from offload import task

def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid() FROM pg_sleep(0.02)")
        return cursor.fetchone()[0]

ask()

@task
def processes(_number):
    return [ask(), os.getpid()]
"""


def test_child_processes_share_no_connection_of_a_pool(scenario: Scenario) -> None:
    (scenario.folder / "pooled_settings.py").write_text(SETTINGS)
    (scenario.folder / "pooled").mkdir()
    (scenario.folder / "pooled" / "tasks.py").write_text(TASKS)
    results: list[OffloadResult[Any]] = [add.enqueue(number) for number in range(40)]
    Job.objects.update(task_path="pooled.tasks.processes")

    worker = scenario.start(
        "--drain",
        processes=2,
        environment={
            "DJANGO_SETTINGS_MODULE": "pooled_settings",
            "PYTHONPATH": str(scenario.folder),
        },
    )

    assert worker.wait() == 0, worker.output
    clients = defaultdict(set)
    for result in results:
        result.refresh()
        server_process, process = result.return_value
        clients[server_process].add(process)
    assert len(set.union(*clients.values())) == 2
    assert all(len(processes) == 1 for processes in clients.values()), clients
