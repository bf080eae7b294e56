"""Fixtures of all tests."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, connections
from django.db.backends.base.creation import TEST_DATABASE_PREFIX
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from offload.store import get_store
from offload.watching.watcher import get_watcher
from tests.crash.summary import pytest_terminal_summary
from tests.how_to import Load, modules_of
from tests.selection import pytest_collection_modifyitems, pytest_ignore_collect

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_terminal_summary",
]

# How long Hypothesis takes for an example says how busy the machine is, and nothing of the code.
settings.register_profile(
    "busy machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")


def delete_all(self: Any, style: Any, tables: Iterable[str], **_: Any) -> list[str]:
    """Empty tables after a test by DELETE: TRUNCATE syncs each of their indexes to disk."""
    return [f"DELETE FROM {self.quote_name(table)}" for table in tables]


def empty_tables(test_case: TransactionTestCase) -> None:
    """Empty the tables after a test with commits.

    The command `flush` would also delete all content types and permissions, and create them again,
    which takes longer than most tests.
    """
    tables = set(connection.introspection.django_table_names(include_views=False))
    tables -= {"auth_permission", "django_content_type"}
    delete = connection.ops.sql_flush(no_style(), sorted(tables), reset_sequences=False)
    connection.ops.execute_sql_flush(delete)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End all sessions, also of abandoned threads: PostgreSQL drops no database in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", delete_all)
        yield
    get_watcher("default").stop()
    # `asyncio.run` has called the ORM in this thread, which nothing ends before the process.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    # It is not created if no test of the run has the mark `django_db`.
    is_created = str(connection.settings_dict["NAME"]).startswith(TEST_DATABASE_PREFIX)
    if connection.vendor == "postgresql" and is_created:
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
def load(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Load]:
    """Import a module of the guide that the test's module names in `PAGE`."""
    yield from modules_of(request.module.PAGE, tmp_path, monkeypatch)


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
