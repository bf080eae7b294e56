"""Small projects that a test writes to a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

SETTINGS = """
SECRET_KEY = "only for tests"
INSTALLED_APPS = ["offload"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
"""


def project(folder: Path, main: str, **files: str) -> None:
    """Write a main script and other modules, whose names have no suffix, and a database."""
    (folder / "db.sqlite3").write_bytes(_database())
    _write(folder, main, files)


def _write(folder: Path, main: str, files: Mapping[str, str]) -> None:
    (folder / "app.py").write_text(
        f"import sys\n{main}\n"
        "from django.core.management import execute_from_command_line\n"
        "if __name__ == '__main__': execute_from_command_line(sys.argv)\n"
    )
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


@cache
def _database() -> bytes:
    """Migrate once: this takes as long as a test."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, "", {"shop_settings": SETTINGS})
        migrated = run(folder, "migrate", DJANGO_SETTINGS_MODULE="shop_settings")
        assert migrated.returncode == 0, migrated.stderr
        return (folder / "db.sqlite3").read_bytes()


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the project's main script."""
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=folder,
        env=environment(**variables),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def environment(**changes: str) -> dict[str, str]:
    """Return an environment without what the tests' own project needs.

    Without PYTHONUNBUFFERED, too, which hides what a process prints twice.
    """
    names = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONUNBUFFERED")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return {**inherited, **changes}
