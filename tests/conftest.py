"""Fixtures of all tests, and the tests that some databases skip."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.management import call_command
from django.db import connection, connections
from hypothesis import HealthCheck, settings

from offload.store import get_store
from offload.watching.watcher import get_watcher
from tests.crash.summary import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

# How long Hypothesis takes for an example says how busy the machine is, and nothing of the code.
settings.register_profile(
    "busy machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")

# These tests do not depend on the database or the version of Django, so they run once.
collect_ignore: list[str] = []
if connection.vendor != "sqlite" or django.VERSION < (6, 1):
    collect_ignore += ["benchmarks", "browser", "demo", "test_locale.py", "typing"]
if connection.vendor != "sqlite":  # they use their own database
    collect_ignore += ["testing/test_document.py", "testing/test_plugin.py"]
    collect_ignore += [  # they use none: their pools have no worker around them
        f"worker/pools/test_{name}.py"
        for name in ("last_chances", "misbehaving_children", "restarts")
    ]
if django.VERSION < (6, 1):  # the effects of a crash depend on the database
    collect_ignore += ["crash/test_failpoints.py"]


def delete_all(self: Any, style: Any, tables: Iterable[str], **_: Any) -> list[str]:
    """Empty tables after a test by DELETE: TRUNCATE syncs each of their indexes to disk."""
    return [f"DELETE FROM {self.quote_name(table)}" for table in tables]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End all sessions, also of abandoned threads: PostgreSQL drops no database in use."""
    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", delete_all)
        yield
    get_watcher("default").stop()
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        connection.close()  # a test may have replaced the one that is closed next


@pytest.fixture
def process_environment() -> dict[str, str]:
    """The environment variables with which another process opens this test's database."""
    return {**os.environ, "OFFLOAD_DATABASE_NAME": str(connection.settings_dict["NAME"])}


@pytest.fixture
def other_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Callable[..., None]]:
    """A function that adds a database to the settings, a copy of the default one.

    For tests without the mark `django_db`, which allows no database that the settings lack.
    """
    added = []

    def add(alias: str, *, migrated: bool = False, **settings: Any) -> None:
        if settings.get("ENGINE", "").endswith("sqlite3"):
            settings = {"OPTIONS": {}, **settings, "NAME": str(tmp_path / settings["NAME"])}
        connections.settings[alias] = {**connections.settings["default"], **settings}
        added.append(alias)
        if migrated:
            call_command("migrate", database=alias, verbosity=0)

    with django_db_blocker.unblock():
        yield add
    for alias in added:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
    get_store.cache_clear()
