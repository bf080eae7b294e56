"""The check that the tables of a database belong to this version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from django.core.checks import Warning  # noqa: A004
from django.db.migrations.executor import MigrationExecutor

from offload.checks.messages import Messages
from offload.store.errors import migrate_command

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def check_migrations(connection: BaseDatabaseWrapper) -> Messages:
    """Check that the tables exist and belong to this version."""
    missing = missing_migrations(connection)
    if missing and not is_migrate():  # it is about to apply them
        yield Warning(
            f"Migrations of offload have not been applied to DATABASES[{connection.alias!r}]: "
            f"{', '.join(missing)}.",
            hint=f"Run: {migrate_command(connection.alias)}",
            id="offload.W012",
        )


def is_migrate() -> bool:
    """Return whether this process is `manage.py migrate`; `call_command` runs no checks.

    The command comes first: Django takes options only behind its name.
    """
    return sys.argv[1:2] == ["migrate"]


def missing_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the app's migrations that have not been applied."""
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes("offload")
    return [migration.name for migration, _ in executor.migration_plan(targets)]
