"""A backup whose process is killed leaves no file that looks whole and is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from offload.lifecycle import JobState
from offload.maintenance import back_up
from offload.models import Job
from tests.crash.scenario import Scenario
from tests.maintenance.restoring import query, restored


@pytest.mark.parametrize("failpoint", ["backup.written", "backup.published"])
def test_a_killed_backup_runs_again_and_each_file_is_whole(
    scenario: Scenario, tmp_path: Path, failpoint: str
) -> None:
    folder = tmp_path / "backups"
    job = back_up.enqueue(str(folder), keep=2)
    scenario.start(failpoint=f"{failpoint}:kill")
    scenario.wait_for_failpoint()
    scenario.wait_for(lambda: Job.objects.get(pk=job.id).finished_at, "the backup runs again")

    job.refresh()
    assert job.state == JobState.SUCCESSFUL, job.errors
    expected = 2 if failpoint == "backup.published" else 1
    backups = sorted(folder.iterdir())
    assert len(backups) == expected, backups
    assert str(backups[-1]) == job.return_value["path"]
    with restored(backups[0], tmp_path) as name:
        assert query(name, "SELECT COUNT(*) FROM offload_job")[0][0] == 1
