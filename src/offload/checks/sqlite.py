"""Checks of the settings of a SQLite database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.checks import Error, Warning  # noqa: A004

from offload.checks.messages import Messages
from offload.notifier import is_in_memory

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

MIN_VERSION = (3, 35)
"""The first version with UPDATE ... RETURNING."""

DEFAULT_TIMEOUT_SECONDS = 5
"""Python's default wait for a locked database."""


def check_version(version: tuple[int, ...]) -> Messages:
    """Check that SQLite supports the statements."""
    if version < MIN_VERSION:
        yield Error(
            f"SQLite {'.'.join(map(str, version))} is too old to store jobs.",
            hint="Use a build of Python with SQLite 3.35 or later.",
            id="offload.E008",
        )


def check_file(connection: BaseDatabaseWrapper) -> Messages:
    """Check that workers can open the database; Django's test database may be in memory."""
    if _is_in_memory(connection) and not _is_of_a_test(connection):
        yield Warning(
            f"DATABASES[{connection.alias!r}] is in memory, so no worker can read the jobs.",
            hint="Set its NAME to a file.",
            id="offload.W004",
        )
    name = Path(connection.settings_dict["NAME"])
    if not (_is_in_memory(connection) or name.is_absolute() or str(name).startswith("file:")):
        yield Warning(
            f"DATABASES[{connection.alias!r}] is the file {str(name)!r} in the current folder: a "
            "worker that is started in another folder has a database of its own.",
            hint=f"Set its NAME to an absolute path, such as BASE_DIR / {str(name)!r}.",
            id="offload.W024",
        )


def check_wal(connection: BaseDatabaseWrapper) -> Messages:
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


def check_transaction_mode(connection: BaseDatabaseWrapper) -> Messages:
    """Check that a transaction that first reads and then writes waits for the lock."""
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED"
    if mode.upper() not in {"IMMEDIATE", "EXCLUSIVE"} and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] starts transactions as {mode.upper()}: one "
            "that first reads and then writes fails at once if a worker writes in between.",
            hint='Set its OPTIONS["transaction_mode"] to "IMMEDIATE".',
            id="offload.W006",
        )


def check_timeout(connection: BaseDatabaseWrapper) -> Messages:
    """Check that SQLite's lock timeout is not too short."""
    timeout = connection.settings_dict["OPTIONS"].get("timeout", DEFAULT_TIMEOUT_SECONDS)
    if timeout < DEFAULT_TIMEOUT_SECONDS and not _is_in_memory(connection):
        yield Warning(
            f"SQLite in DATABASES[{connection.alias!r}] waits only {timeout} s for a locked "
            "database.",
            hint=f'Set its OPTIONS["timeout"] to {DEFAULT_TIMEOUT_SECONDS} or more.',
            id="offload.W007",
        )


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    return is_in_memory(str(connection.settings_dict["NAME"]))


def _is_of_a_test(connection: BaseDatabaseWrapper) -> bool:
    return str(connection.settings_dict["NAME"]).startswith("file:memorydb_")
