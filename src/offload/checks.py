"""System checks: of the settings on each `check`, of the database server with `--database`.

An error reports a configuration that cannot work; a warning one that makes jobs slow, late or
lost in some situations. `migrate` runs the checks of its database too, so a missing migration is
a warning.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import get_resolver
from django.utils.module_loading import import_string

from offload.backends.base import OffloadBackend, offload_backends
from offload.models.exact_text import exact_collation
from offload.notifier import get_notifier, is_in_memory
from offload.store import get_store
from offload.store.errors import explain, migrate_command

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

MIN_SQLITE_VERSION = (3, 35)
"""The first version with UPDATE ... RETURNING."""

DEFAULT_SQLITE_TIMEOUT_SECONDS = 5
"""Python's default wait for a locked database."""

DEFAULT_POOL_SIZE = 4
"""Connections in a pool of psycopg that has no other size."""

MIDDLEWARE = "offload.middleware.OffloadMiddleware"

type Messages = Iterator[CheckMessage]


@register("offload")
def check_settings(**_kwargs: Any) -> Messages:
    """Check the settings of each database that stores jobs, without connecting."""
    for connection in _connections():
        if connection.vendor == "sqlite":
            yield from check_sqlite_version(sqlite3.sqlite_version_info)
            yield from check_sqlite_file(connection)
            yield from check_sqlite_wal(connection)
            yield from check_sqlite_transaction_mode(connection)
            yield from check_sqlite_timeout(connection)
        if connection.vendor == "mysql":
            yield from check_isolation_setting(connection)
    yield from check_pools()


@register(Tags.database)
def check_databases(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> Messages:
    """Check each server that stores jobs and is among the databases to check."""
    for connection in _connections():
        if connection.alias in (databases or ()):
            try:
                yield from _check_server(connection)
            except (DatabaseError, InterfaceError) as error:
                problem = str(explain(error, connection.alias))
                hint = "Start the server, or correct DATABASES."
                yield Error(problem, hint=hint, id="offload.E011")


@register("offload")
def check_live(**_kwargs: Any) -> Messages:
    """Check the settings that decide who may see jobs in the browser."""
    yield from check_middleware()


@register("offload")
def check_mail(**_kwargs: Any) -> Messages:
    """Check the mailers that enqueue email."""
    from offload.mail import checks  # noqa: PLC0415  # only commands that check need the package

    yield from checks.check_mailers()
    yield from checks.check_error_reports()


def _connections() -> list[BaseDatabaseWrapper]:
    """Return the databases in which backends store jobs.

    A backend with wrong options is left out, because its own check reports them.
    """
    aliases: dict[str, None] = {}
    for backend in offload_backends():
        try:
            if backend.supports_live:
                aliases[get_store(backend.settings.database).using] = None
        except ImproperlyConfigured:
            continue
    return [connections[alias] for alias in aliases]


def _check_server(connection: BaseDatabaseWrapper) -> Messages:
    facts = get_store(connection.alias).diagnose()
    if connection.vendor == "mysql":
        yield from check_isolation(facts, connection.alias)
        yield from check_galera(facts, connection.alias)
        yield from check_charset(facts, connection.alias)
        yield from check_collation(facts, connection)
    if connection.vendor == "postgresql":
        yield from check_encoding(facts, connection.alias)
        yield from check_listen(connection.alias)
    yield from check_migrations(connection)


# --- SQLite -------------------------------------------------------------------------------


def check_sqlite_version(version: tuple[int, ...]) -> Messages:
    """Check that SQLite supports the statements."""
    if version < MIN_SQLITE_VERSION:
        yield Error(
            f"SQLite {'.'.join(map(str, version))} is too old to store jobs.",
            hint="Use a build of Python with SQLite 3.35 or later.",
            id="offload.E008",
        )


def check_sqlite_file(connection: BaseDatabaseWrapper) -> Messages:
    """Check that workers can open the database; Django's test database may be in memory."""
    if _is_in_memory(connection) and not _is_of_a_test(connection):
        yield Warning(
            f"DATABASES[{connection.alias!r}] is in memory, so no worker can read the jobs.",
            hint="Set its NAME to a file.",
            id="offload.W004",
        )


def check_sqlite_wal(connection: BaseDatabaseWrapper) -> Messages:
    """Check that the settings do not prevent the write-ahead log that `migrate` switches on."""
    command = str(connection.settings_dict["OPTIONS"].get("init_command", ""))
    mode = re.search(r"journal_mode\s*[=(]?\s*['\"]?(\w+)", command.lower())
    if mode and mode[1] != "wal" and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] uses journal_mode={mode[1]}: readers "
            "wait while a worker writes, and each commit is slow.",
            hint='Remove journal_mode from its OPTIONS["init_command"], or set it to wal.',
            id="offload.W005",
        )


def check_sqlite_transaction_mode(connection: BaseDatabaseWrapper) -> Messages:
    """Check that a transaction that first reads and then writes waits for the lock."""
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED"
    if mode.upper() not in {"IMMEDIATE", "EXCLUSIVE"} and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] starts transactions as {mode.upper()}: one "
            "that first reads and then writes fails at once if a worker writes in between.",
            hint='Set its OPTIONS["transaction_mode"] to "IMMEDIATE".',
            id="offload.W006",
        )


def check_sqlite_timeout(connection: BaseDatabaseWrapper) -> Messages:
    """Check that SQLite's lock timeout is not too short."""
    timeout = connection.settings_dict["OPTIONS"].get("timeout", DEFAULT_SQLITE_TIMEOUT_SECONDS)
    if timeout < DEFAULT_SQLITE_TIMEOUT_SECONDS and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] waits only {timeout} s for a locked "
            "database.",
            hint=f'Set its OPTIONS["timeout"] to {DEFAULT_SQLITE_TIMEOUT_SECONDS} or more.',
            id="offload.W007",
        )


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    return is_in_memory(str(connection.settings_dict["NAME"]))


def _is_of_a_test(connection: BaseDatabaseWrapper) -> bool:
    return str(connection.settings_dict["NAME"]).startswith("file:memorydb_")


# --- MariaDB and MySQL ----------------------------------------------------------------------


def check_isolation_setting(connection: BaseDatabaseWrapper) -> Messages:
    """Check the isolation level in the settings; without one Django uses read committed."""
    level = connection.settings_dict["OPTIONS"].get("isolation_level", "read committed")
    if level is not None:
        yield from check_isolation({"transaction_isolation": level}, connection.alias)


def check_isolation(facts: dict[str, str], alias: str) -> Messages:
    """Check the isolation level: above read committed, claims lock the gaps between rows."""
    level = facts.get("transaction_isolation") or facts.get("tx_isolation") or ""
    if level.upper().replace("-", " ") != "READ COMMITTED":
        yield Warning(
            f"DATABASES[{alias!r}] uses the isolation level {level.lower()}: enqueueing and "
            "claiming jobs will block each other and deadlock.",
            hint='Remove its OPTIONS["isolation_level"], or set it to "read committed".',
            id="offload.W009",
        )


def check_galera(facts: dict[str, str], alias: str) -> Messages:
    """Check for a cluster, whose nodes do not see each other's locks."""
    if facts.get("wsrep_on", "").upper() == "ON":
        yield Warning(
            f"DATABASES[{alias!r}] is a Galera cluster: locks are local to a node, so workers on "
            "several nodes claim the same jobs, and all but one fail at their commit.",
            hint="Connect all workers to the same node.",
            id="offload.W010",
        )


def check_charset(facts: dict[str, str], alias: str) -> Messages:
    """Check that the connection carries all characters."""
    charset = facts.get("character_set_client", "utf8mb4")
    if charset != "utf8mb4":
        yield Warning(
            f"Connections to DATABASES[{alias!r}] use the character set {charset}: jobs whose "
            "arguments contain other characters cannot be enqueued.",
            hint='Remove its OPTIONS["charset"], or set it to "utf8mb4".',
            id="offload.W021",
        )


def check_collation(facts: dict[str, str], connection: BaseDatabaseWrapper) -> Messages:
    """Check that the tables were not converted after they had been created."""
    if facts.get("inexact_tables"):
        collation = exact_collation(connection)
        yield Warning(
            f"Tables in DATABASES[{connection.alias!r}] have another collation than {collation}: "
            f"{facts['inexact_tables']}. They cannot hold all characters, or take 'Mail' and "
            "'mail' for the same queue.",
            hint="For each of them: ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 COLLATE "
            f"{collation};",
            id="offload.W022",
        )


# --- PostgreSQL -----------------------------------------------------------------------------


def check_pools() -> Messages:
    """Check that each pool has a connection for each thread in which a task may need one."""
    needed = max(map(_threads_for_tasks, offload_backends()), default=0)
    for connection in connections.all():
        size = pool_size(connection)
        if size is not None and size < needed:
            yield Warning(
                f"The pool of DATABASES[{connection.alias!r}] has {size} connections, but the "
                f"tasks of one process may need {needed} at a time: one for each of its threads "
                "and async_threads. A task that finds none fails after the pool's timeout.",
                hint=f'Set its OPTIONS["pool"]["max_size"] to {needed} (and one more for each '
                "request at a time, if web servers run jobs), or lower those options in TASKS.",
                id="offload.W023",
            )


def _threads_for_tasks(backend: OffloadBackend) -> int:
    try:
        options = backend.settings
    except ImproperlyConfigured:  # its own check reports it
        return 0
    return options.threads + options.async_threads


def pool_size(connection: BaseDatabaseWrapper) -> int | None:
    """Return the most connections that a database's pool opens; None if it has no pool."""
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if connection.vendor != "postgresql" or not pool:
        return None
    sizes: dict[str, int] = {} if pool is True else pool
    return max(sizes.get("min_size", DEFAULT_POOL_SIZE), sizes.get("max_size") or 0)


def check_encoding(facts: dict[str, str], alias: str) -> Messages:
    """Check that the database can hold all characters."""
    encoding = facts["server_encoding"]
    if encoding not in {"UTF8", "SQL_ASCII"}:  # the latter keeps any bytes
        yield Warning(
            f"DATABASES[{alias!r}] has the encoding {encoding}: jobs whose arguments contain other "
            "characters cannot be enqueued.",
            hint="Move to a database that was created with ENCODING 'UTF8'.",
            id="offload.W021",
        )


def check_listen(alias: str) -> Messages:
    """Check that notifications arrive: a pooler such as PgBouncer may drop them."""
    if not get_notifier(alias).delivers_hints():
        yield Warning(
            f"LISTEN on DATABASES[{alias!r}] receives nothing: jobs start late, at the next poll.",
            hint="Use psycopg 3, and connect to PostgreSQL directly or through a pooler in session "
            "mode. (PgBouncer in transaction mode drops LISTEN.)",
            id="offload.W013",
        )


# --- jobs in the browser ----------------------------------------------------------------------


def check_middleware() -> Messages:
    """Check that jobs get owners if `offload.urls` is in use."""
    if _is_mounted() and not any(map(_is_middleware, settings.MIDDLEWARE)):
        yield Warning(
            "offload.urls is included in the URLs, but without OffloadMiddleware jobs have no "
            "owner: only staff can see them.",
            hint=f'Add "{MIDDLEWARE}" to MIDDLEWARE, after AuthenticationMiddleware.',
            id="offload.W014",
        )


def _is_mounted() -> bool:
    """Return whether the project includes `offload.urls`; False if its URLs cannot be imported.

    Django's own checks report a broken URLconf.
    """
    if not getattr(settings, "ROOT_URLCONF", ""):
        return False
    try:
        return "offload" in get_resolver().app_dict
    except Exception:  # noqa: BLE001  # the project's modules raise anything
        return False


def _is_middleware(path: str) -> bool:
    """Return whether a path in MIDDLEWARE is OffloadMiddleware, or a subclass."""
    try:
        middleware = import_string(path)
    except ImportError:
        return False
    bases = middleware.__mro__ if isinstance(middleware, type) else ()
    return any(f"{base.__module__}.{base.__qualname__}" == MIDDLEWARE for base in bases)


# --- all databases --------------------------------------------------------------------------


def check_migrations(connection: BaseDatabaseWrapper) -> Messages:
    """Check that the tables exist and belong to this version."""
    missing = missing_migrations(connection)
    if missing and sys.argv[1:2] != ["migrate"]:  # it is about to apply them
        yield Warning(
            f"Migrations of offload have not been applied to DATABASES[{connection.alias!r}]: "
            f"{', '.join(missing)}.",
            hint=f"Run: {migrate_command(connection.alias)}",
            id="offload.W012",
        )


def missing_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the app's migrations that have not been applied."""
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes("offload")
    return [migration.name for migration, _ in executor.migration_plan(targets)]
