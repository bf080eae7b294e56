"""Which tests of a run are left out because another run of `make test` shows the same.

All tests but those of Celery's workers run on SQLite with the newest Django; on other databases,
and with other versions of Django, those whose outcome may differ there. A run that names folders
or files leaves out nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
import pytest
from django.db import connection
from django.test import TransactionTestCase

HERE = Path(__file__).parent
NEEDS_DATABASE = {"db", "transactional_db", "other_database", "process_environment", "server"}
"""Fixtures without which pytest-django refuses a test the database: it then runs on SQLite only."""

OWN_DATABASE = {"benchmarks", "browser", "demo", "test_locale.py", "typing"} | {
    "maintenance/test_how_to.py",
    "testing/test_document.py",
    "testing/test_plugin.py",
}
"""They use a database of their own, or none."""
CELERY_WORKERS = {
    "celery_results/test_workers.py",
    "crash/test_celery.py",
    "from_celery/test_processes.py",
}
"""They run on PostgreSQL, as a fleet on several machines cannot share a file of SQLite."""
PROCESSES = {
    "crash/test_deaths.py",
    "crash/test_poison.py",
    "crash/test_stop.py",
    "management/test_offload_worker.py",
    "worker/child",
}
"""They show how processes start and end: on SQLite and on one server, which is PostgreSQL."""
NOT_OF_DJANGO = {
    *("benchmarks", "browser", "crash", "demo", "deploy", "notifier", "policies", "typing"),
    *("watching", "worker/child", "worker/claiming", "worker/fleet", "worker/pools"),
    *("worker/upkeep", "test_architecture.py", "test_docs.py", "test_locale.py"),
}
"""They call no interface of Django that changes between its versions, or only those that all do."""


def left_out() -> set[Path]:
    """Return the folders and files that a run of all tests leaves out."""
    names: set[str] = set()
    if connection.vendor != "sqlite":
        names |= OWN_DATABASE
    if connection.vendor != "postgresql":
        names |= CELERY_WORKERS
    if connection.vendor == "mysql":
        names |= PROCESSES
    if django.VERSION < (6, 1):
        names |= NOT_OF_DJANGO
    return {HERE / name for name in names}


LEFT_OUT = left_out()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders and files."""
    return True if collection_path in LEFT_OUT and runs_all_tests(config) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that use no database, except on SQLite."""
    if connection.vendor == "sqlite" or not runs_all_tests(config):
        return
    config.hook.pytest_deselected(items=[item for item in items if not may_use_database(item)])
    items[:] = [item for item in items if may_use_database(item)]


def runs_all_tests(config: pytest.Config) -> bool:
    """Return whether the command line names no part of the tests."""
    named = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    return all(HERE.is_relative_to(path) for path in named)


def may_use_database(item: Any) -> bool:
    """Return whether a test asks for the database; if not, pytest-django refuses it."""
    is_test_case = item.cls is not None and issubclass(item.cls, TransactionTestCase)
    has_mark = item.get_closest_marker("django_db") is not None
    return is_test_case or has_mark or not NEEDS_DATABASE.isdisjoint(item.fixturenames)
