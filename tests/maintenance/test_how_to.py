"""The examples of the guides to digests, caches and backups do what the pages say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from offload.checks.registered import check_schedules
from offload.lifecycle import JobState
from offload.maintenance import back_up, clear_sessions, prune_jobs, run_command
from offload.tasks import schedulable_tasks
from offload.testing import run_jobs, run_schedules

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "howto"
BLOCK = re.compile(r"^```python\n# (shop/\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = """
SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "offload", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
"""
CACHE_TESTS = """
from datetime import timedelta

from django.core.cache import cache
from django.test import TestCase
from offload.testing import assert_scheduled, run_jobs

from shop import tasks, views


class CacheTests(TestCase):
    def setUp(self):
        cache.clear()
        self.calls = []
        tasks.find_bestsellers = lambda shop: self.calls.append(shop) or ["Tea"]

    def test_the_second_of_two_refreshes_sees_that_the_value_is_fresh(self):
        tasks.refresh_bestsellers.enqueue_many([((1,), {}), ((1,), {}), ((2,), {})])
        run_jobs()
        self.assertEqual(sorted(self.calls), [1, 2])

    def test_all_shops_are_refreshed(self):
        from shop import refreshes

        assert_scheduled(refreshes.refresh_all_bestsellers, every=timedelta(minutes=5))
        refreshes.refresh_all_bestsellers.enqueue()
        run_jobs()
        self.assertEqual(sorted(self.calls), [1, 2, 3])

    def test_a_view_shows_what_there_is_and_enqueues_one_refresh(self):
        for _ in range(3):
            self.assertIn(b"null", views.bestsellers(None, 1).content)
        self.assertEqual(len(run_jobs()), 1)
        self.assertIn(b"Tea", views.bestsellers(None, 1).content)
        self.assertEqual(len(run_jobs()), 0)
"""


@pytest.mark.parametrize(
    ("guide", "more", "count"),
    [("nightly-digest", {}, 3), ("refresh-a-cache", {"shop/tests.py": CACHE_TESTS}, 3)],
)
def test_the_examples_of_a_guide_form_an_app_whose_tests_pass(
    tmp_path: Path, guide: str, more: dict[str, str], count: int
) -> None:
    files = dict(BLOCK.findall((GUIDES / f"{guide}.md").read_text()))
    for name, code in {**files, **more, "settings.py": SETTINGS, "shop/__init__.py": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)

    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "test", "shop"],
        cwd=tmp_path,
        env={"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert f"Ran {count} tests" in finished.stderr


@pytest.mark.django_db(transaction=True)
def test_the_schedules_of_the_guide_to_backups_tick(tmp_path: Path) -> None:
    page = (GUIDES / "clean-up-and-back-up.md").read_text()
    names: dict[str, Any] = {}
    exec(re.search(r"^TASKS = .*?^}\n", page, re.M | re.S)[0], names)  # type: ignore[index]
    tasks = json.loads(json.dumps(names["TASKS"]).replace("/srv/backups", str(tmp_path)))

    with override_settings(TASKS=tasks):
        assert [message for message in check_schedules() if message.id == "offload.E051"] == []
        (job,) = run_schedules(at=datetime(2026, 12, 1, 2, 30, tzinfo=UTC))
        (result,) = run_jobs()

    assert (job.id, result.state) == (result.id, JobState.SUCCESSFUL)
    assert [str(path) for path in tmp_path.iterdir()] == [result.return_value["path"]]


def test_the_tasks_may_be_scheduled_at_run_time() -> None:
    for task in (back_up, clear_sessions, prune_jobs, run_command):
        assert schedulable_tasks[task.module_path] is task
