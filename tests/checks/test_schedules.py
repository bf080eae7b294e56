"""What a broken schedule in the settings does to Django's commands, each run as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
from tests.settings.sqlite import *

DATABASES["default"] = {{**DATABASES["default"], "NAME": {name!r}, "OPTIONS": {{}}}}
TASKS["default"]["OPTIONS"]["schedules"] = {{
    "nightly": {{"task": "tests.schedules.tasks.gone", "cron": "@daily"}},
    "copies": {{
        "task": "offload.maintenance.run_command", "cron": "@daily", "args": ["clearsessions"]
    }},
}}
"""


def run_django(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Django in a project whose schedules are broken."""
    (folder / "broken.py").write_text(SETTINGS.format(name=str(folder / "jobs.sqlite3")))
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "broken",
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_broken_schedule_fails_check_and_not_migrate(tmp_path: Path) -> None:
    migrated = run_django(tmp_path, "migrate", "--verbosity", "1")
    checked = run_django(tmp_path, "check", "--database", "default")

    assert migrated.returncode == 0, migrated.stderr
    assert "Applying offload.0001_initial... OK" in migrated.stdout
    assert migrated.stderr.count("(offload.W053)") == 2
    assert "'tests.schedules.tasks.gone'" in migrated.stderr
    assert checked.returncode == 1
    assert "(offload.E051) The schedule 'nightly' cannot tick" in checked.stderr
    assert "(offload.E062) The jobs of the schedule 'copies' will fail" in checked.stderr
