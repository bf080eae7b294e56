"""Jobs that data migrations enqueue are not those of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from offload.models import Job
from offload.testing import assert_enqueued, assert_not_enqueued, run_jobs
from tests.testing import tasks

MIGRATION = """
from django.db import migrations
from tests.testing.tasks import note

class Migration(migrations.Migration):
    dependencies = [("offload", "0001_initial")]
    operations = [migrations.RunPython(lambda *_: note.enqueue(1), migrations.RunPython.noop)]
"""


def test_a_test_database_starts_without_the_jobs_of_migrations(
    other_database: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_migrations").mkdir()
    (tmp_path / "late_migrations" / "__init__.py").touch()
    (tmp_path / "late_migrations" / "0001_late.py").write_text(MIGRATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.MIGRATION_MODULES = {"sessions": "late_migrations"}
    sqlite = "django.db.backends.sqlite3"
    test = {**connections["default"].settings_dict["TEST"], "NAME": str(tmp_path / "test.sqlite3")}
    other_database("fresh", ENGINE=sqlite, NAME="fresh.sqlite3", TEST=test)
    backend = "offload.backends.database.DatabaseBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "OPTIONS": {"database": "fresh"}}}

    connections["fresh"].creation.create_test_db(verbosity=0, autoclobber=True)

    assert_not_enqueued()
    assert run_jobs() == []
    call_command("migrate", "sessions", "zero", database="fresh", verbosity=0)
    call_command("migrate", "sessions", database="fresh", verbosity=0)
    assert_enqueued(tasks.note, args=[1], count=1)
    assert Job.objects.using("fresh").count() == 1
