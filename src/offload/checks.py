"""System checks: what the settings say at each `check`, what the server says at `--database`.

A warning tells of what makes jobs slow, late or lost in some situations, an error of what cannot
work. `migrate` runs the checks of its database too, so a missing migration is no error.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import get_resolver
from django.utils.module_loading import import_string

from offload.backends.base import offload_backends
from offload.notifier import get_notifier
from offload.store import get_store
from offload.store.errors import explain, migrate_command

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

SQLITE_VERSION = (3, 35)
"""The first that has UPDATE ... RETURNING."""

SQLITE_TIMEOUT = 5
"""Seconds for which Python waits for a locked database by default."""

MIDDLEWARE = "offload.middleware.OffloadMiddleware"

type Messages = Iterator[CheckMessage]


@register("offload")
def check_settings(**_kwargs: Any) -> Messages:
    """Check the settings of each database that keeps jobs, without connecting."""
    for connection in _connections():
        if connection.vendor == "sqlite":
            yield from check_sqlite_version(sqlite3.sqlite_version_info)
            yield from check_sqlite_file(connection)
            yield from check_sqlite_wal(connection)
            yield from check_sqlite_transaction_mode(connection)
            yield from check_sqlite_timeout(connection)
        if connection.vendor == "mysql":
            yield from check_isolation_setting(connection)


@register(Tags.database)
def check_databases(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> Messages:
    """Ask each database that keeps jobs, if Django was told to ask it."""
    for connection in _connections():
        if connection.alias in (databases or ()):
            try:
                yield from _ask(connection)
            except (DatabaseError, InterfaceError) as error:
                problem = str(explain(error, connection.alias))
                yield Error(problem, hint="Start it, or correct DATABASES.", id="offload.E011")


@register("offload")
def check_live(**_kwargs: Any) -> Messages:
    """Check what decides who sees jobs in the browser."""
    yield from check_middleware()


def _connections() -> list[BaseDatabaseWrapper]:
    """Return the databases in which backends keep jobs; backends tell of wrong options."""
    aliases: dict[str, None] = {}
    for backend in offload_backends():
        try:
            if backend.supports_live:
                aliases[get_store(backend.settings.database).using] = None
        except ImproperlyConfigured:
            continue
    return [connections[alias] for alias in aliases]


def _ask(connection: BaseDatabaseWrapper) -> Messages:
    facts = get_store(connection.alias).diagnose()
    if connection.vendor == "mysql":
        yield from check_isolation(facts, connection.alias)
        yield from check_galera(facts, connection.alias)
    if connection.vendor == "postgresql":
        yield from check_listen(connection.alias)
    yield from check_migrations(connection)


# --- SQLite -------------------------------------------------------------------------------


def check_sqlite_version(version: tuple[int, ...]) -> Messages:
    """Check that SQLite knows the statements."""
    if version < SQLITE_VERSION:
        yield Error(
            f"SQLite {'.'.join(map(str, version))} is too old to keep jobs.",
            hint="Use a Python that comes with SQLite 3.35 or later.",
            id="offload.E008",
        )


def check_sqlite_file(connection: BaseDatabaseWrapper) -> Messages:
    """Check that other processes can open the database; Django's own test database aside."""
    if _is_in_memory(connection) and not _is_of_a_test(connection):
        yield Warning(
            f"DATABASES[{connection.alias!r}] is in memory, where no worker finds the jobs.",
            hint="Let NAME be a file.",
            id="offload.W004",
        )


def check_sqlite_wal(connection: BaseDatabaseWrapper) -> Messages:
    """Check that readers and a writer do not lock each other out."""
    if not _is_in_memory(connection) and not _sets_wal(connection) and not _has_wal(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] does not use a write-ahead log: pages wait "
            "while a worker writes, and each commit is slow.",
            hint='There, set OPTIONS["init_command"] to "PRAGMA journal_mode=wal; PRAGMA '
            'synchronous=normal;".',
            id="offload.W005",
        )


def check_sqlite_transaction_mode(connection: BaseDatabaseWrapper) -> Messages:
    """Check that a transaction which reads first and writes later waits for its turn."""
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED"
    if mode.upper() not in {"IMMEDIATE", "EXCLUSIVE"} and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] begins transactions as {mode.upper()}: one "
            "that reads first and writes later fails at once when a worker writes meanwhile.",
            hint='There, set OPTIONS["transaction_mode"] to "IMMEDIATE".',
            id="offload.W006",
        )


def check_sqlite_timeout(connection: BaseDatabaseWrapper) -> Messages:
    """Check that who finds the database locked has patience."""
    timeout = connection.settings_dict["OPTIONS"].get("timeout", SQLITE_TIMEOUT)
    if timeout < SQLITE_TIMEOUT and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] waits only {timeout} s for a locked "
            "database.",
            hint=f'There, set OPTIONS["timeout"] to {SQLITE_TIMEOUT} or more.',
            id="offload.W007",
        )


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    name = str(connection.settings_dict["NAME"])
    return not name or ":memory:" in name or "mode=memory" in name


def _is_of_a_test(connection: BaseDatabaseWrapper) -> bool:
    return str(connection.settings_dict["NAME"]).startswith("file:memorydb_")


def _sets_wal(connection: BaseDatabaseWrapper) -> bool:
    command = str(connection.settings_dict["OPTIONS"].get("init_command", ""))
    return "journal_mode=wal" in "".join(command.lower().split()).replace("'", "").replace('"', "")


def _has_wal(connection: BaseDatabaseWrapper) -> bool:
    """Look into the file, which keeps its journal mode: https://sqlite.org/fileformat.html."""
    name = str(connection.settings_dict["NAME"])
    try:
        with Path(urlsplit(name).path if name.startswith("file:") else name).open("rb") as file:
            return file.read(20)[18:20] == b"\2\2"
    except OSError:
        return False


# --- MariaDB and MySQL ----------------------------------------------------------------------


def check_isolation_setting(connection: BaseDatabaseWrapper) -> Messages:
    """Check the isolation level that the settings ask for; `check_isolation` what they leave."""
    level = connection.settings_dict["OPTIONS"].get("isolation_level", "read committed")
    if level is not None:
        yield from check_isolation({"transaction_isolation": level}, connection.alias)


def check_isolation(facts: dict[str, str], alias: str) -> Messages:
    """Check that claiming jobs does not lock the gaps between them."""
    level = facts.get("transaction_isolation") or facts.get("tx_isolation") or ""
    if level.upper().replace("-", " ") != "READ COMMITTED":
        yield Warning(
            f"DATABASES[{alias!r}] works at the isolation level {level.lower()}: enqueueing and "
            "claiming jobs will block each other and deadlock.",
            hint='There, remove OPTIONS["isolation_level"], or set it to "read committed".',
            id="offload.W009",
        )


def check_galera(facts: dict[str, str], alias: str) -> Messages:
    """Check for a cluster whose nodes do not see each other's locks."""
    if facts.get("wsrep_on", "").upper() == "ON":
        yield Warning(
            f"DATABASES[{alias!r}] is a Galera cluster: locks hold on one node only, so engines on "
            "several nodes claim the same jobs and all but one fail at their commit.",
            hint="Let all workers use the same node.",
            id="offload.W010",
        )


# --- PostgreSQL -----------------------------------------------------------------------------


def check_listen(alias: str) -> Messages:
    """Check that a hint comes through: a pooler such as PgBouncer may swallow it."""
    if not get_notifier(alias).delivers_hints():
        yield Warning(
            f"LISTEN on DATABASES[{alias!r}] hears nothing: jobs begin late, at the next poll.",
            hint="Use psycopg 3, and connect to PostgreSQL directly or through a pooler in session "
            "mode. (PgBouncer in transaction mode drops LISTEN.)",
            id="offload.W013",
        )


# --- jobs in the browser ----------------------------------------------------------------------


def check_middleware() -> Messages:
    """Check that jobs get owners, if people are to see theirs."""
    if _is_mounted() and not any(map(_is_middleware, settings.MIDDLEWARE)):
        yield Warning(
            "offload.urls is mounted, but without OffloadMiddleware jobs have no owner: nobody but "
            "staff will see them.",
            hint=f'Add "{MIDDLEWARE}" to MIDDLEWARE, after AuthenticationMiddleware.',
            id="offload.W014",
        )


def _is_mounted() -> bool:
    """Tell whether the project's URLs include ours; a broken URLconf has checks of its own."""
    try:
        return bool(getattr(settings, "ROOT_URLCONF", "")) and "offload" in get_resolver().app_dict
    except Exception:  # noqa: BLE001  # the project's modules raise what they like
        return False


def _is_middleware(path: str) -> bool:
    try:
        found = import_string(path)
    except ImportError:
        return False
    kinds = found.__mro__ if isinstance(found, type) else ()
    return any(f"{kind.__module__}.{kind.__qualname__}" == MIDDLEWARE for kind in kinds)


# --- all databases --------------------------------------------------------------------------


def check_migrations(connection: BaseDatabaseWrapper) -> Messages:
    """Check that the tables are there, and of this version."""
    missing = missing_migrations(connection)
    if missing and sys.argv[1:2] != ["migrate"]:  # which is about to apply them
        yield Warning(
            f"Migrations of offload are missing in DATABASES[{connection.alias!r}]: "
            f"{', '.join(missing)}.",
            hint=f"Run: {migrate_command(connection.alias)}",
            id="offload.W012",
        )


def missing_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the app's migrations that were not applied."""
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes("offload")
    return [migration.name for migration, _ in executor.migration_plan(targets)]
