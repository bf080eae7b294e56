"""A backup that is made while jobs run can be restored, and the restored database runs its jobs."""

from __future__ import annotations

import gzip
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from offload.lifecycle import JobState
from offload.maintenance import back_up, sqlite_copy
from offload.models import Job
from tests.crash import tasks
from tests.crash.conftest import scenario
from tests.crash.scenario import Scenario
from tests.maintenance.restoring import query, restored

__all__ = ["scenario"]

JOBS = 400
UNFINISHED = "SELECT COUNT(*) FROM offload_job WHERE finished_at IS NULL"
SUCCESSFUL = f"SELECT COUNT(*) FROM offload_job WHERE state = {int(JobState.SUCCESSFUL)}"


def test_a_backup_that_is_made_while_jobs_run_is_restored_and_runs_them_on(
    scenario: Scenario, tmp_path: Path
) -> None:
    for _ in range(JOBS):
        scenario.enqueue(tasks.note)
    gate = scenario.path("gate")
    held = scenario.enqueue(tasks.wait_for, gate)
    later = scenario.enqueue(tasks.note, run_after=timezone.now() + timedelta(days=1))
    scenario.start()
    backup = back_up.enqueue(str(tmp_path / "backups"), keep=1)  # a job among the others
    scenario.wait_for(lambda: Job.objects.get(pk=backup.id).finished_at, "the backup ends")
    scenario.wait_until_started(held)
    scenario.open("gate")
    scenario.wait_until_finished(*set(scenario.accepted) - {later})
    backup.refresh()
    assert backup.state == JobState.SUCCESSFUL, (backup.errors, scenario._report())
    for worker in scenario.processes:
        assert worker.stop() == 0

    with restored(Path(backup.return_value["path"]), tmp_path) as name:
        assert query(name, UNFINISHED)[0][0] >= 2  # the backup itself ran, and one waits a day
        drained = scenario.start("--drain", environment={"OFFLOAD_DATABASE_NAME": name})
        assert drained.wait() == 0, drained.output

        assert query(name, UNFINISHED) in ([(1,)], ((1,),)), drained.output
        assert query(name, SUCCESSFUL)[0][0] == JOBS + 2


def test_a_dump_of_the_models_is_restored_by_loaddata(scenario: Scenario, tmp_path: Path) -> None:
    scenario.enqueue_mix()
    limited = [scenario.enqueue(tasks.limited, "acme") for _ in range(4)]
    path = Path(back_up.call(str(tmp_path), method="dumpdata")["path"])
    assert path.name.endswith(".json.gz")
    with gzip.open(path) as file:
        assert b"offload.job" in file.read()
    call_command("flush", interactive=False, verbosity=0)

    call_command("loaddata", str(path), verbosity=0)

    assert Job.objects.count() == len(scenario.accepted)
    scenario.drain()
    assert {scenario.state(token) for token in limited} == {JobState.SUCCESSFUL}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the server's programs do this")
@pytest.mark.django_db(transaction=True)
def test_others_may_write_all_the_time_while_sqlite_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "PAGES_PER_STEP", 1)
    is_over = threading.Event()
    counts: list[int] = []

    def write() -> None:
        name = str(connection.settings_dict["NAME"])
        with closing(sqlite3.connect(name, timeout=20)) as other:
            for number in range(100_000):
                if is_over.is_set():
                    break
                other.execute("INSERT INTO tests_effect (token) VALUES (?)", [str(number)])
                other.commit()
                counts.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(counts) < 5:
            is_over.wait(0.01)
        first = len(counts)
        path = back_up.call(str(tmp_path))["path"]
        written = len(counts) - first
    finally:
        is_over.set()
        writer.join()

    assert written > 5
    rows = query(path, "SELECT COUNT(*) FROM tests_effect")[0][0]
    assert first <= rows < first + written
