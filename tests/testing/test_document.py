"""The examples in docs/howto/test-your-tasks.md form a project whose tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "howto" / "test-your-tasks.md"
BLOCK = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = """
SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "offload", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
TASKS = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
    }
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    blocks = dict(BLOCK.findall(DOCUMENT.read_text()))
    for name, code in {**blocks, "settings.py": SETTINGS}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for folder in ("shop", "shop/tests"):
        (tmp_path / folder / "__init__.py").touch()
    return tmp_path


def run(project: Path, *arguments: str, settings: str = "settings") -> str:
    environment = {"DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": str(project)}
    command = [sys.executable, "-W", "error", "-m", *arguments]
    finished = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def test_its_tests_pass_with_pytest(project: Path):
    assert "21 passed" in run(project, "pytest", "-p", "no:cacheprovider", "-q", "shop")


def test_its_test_cases_pass_with_djangos_runner(project: Path):
    (project / "shop/tests/test_with_pytest.py").unlink()

    assert "Ran 18 tests" in run(project, "django", "test", "shop")


def test_its_settings_pass_the_checks(project: Path):
    settings = project / "settings_for_tests.py"
    settings.write_text(f"from settings import *\n{settings.read_text()}")

    run(project, "django", "check", settings="settings_for_tests")
