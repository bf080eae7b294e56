"""Copies a SQLite database while others write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from offload.context import progress
from offload.maintenance.errors import BackupError

PAGES_PER_STEP = 2_000
"""Pages between two chances to stop the job: 8 MB."""


def copy_sqlite(connection: Any, _descriptor: int, path: Path) -> None:
    """Copy a database into an empty file, and check the copy."""
    if connection.is_in_memory_db():
        raise ImproperlyConfigured(
            f"DATABASES[{connection.alias!r}] is in memory, where another process cannot copy it. "
            'Set its NAME to a file, or pass method="dumpdata".'
        )
    try:
        with closing(_open_source(connection)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target, pages=PAGES_PER_STEP, progress=_report)
            # One file without a log beside it; `migrate` and workers switch it again.
            target.execute("PRAGMA journal_mode=delete")
            fault = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(
            f"The backup of DATABASES[{connection.alias!r}] to {path.parent} failed: {error}."
            f"{_hint(error)}"
        ) from error
    if fault != "ok":
        raise BackupError(
            f"The database {connection.settings_dict['NAME']} is damaged: {fault}. Its older "
            "backups were kept. Restore one, or repair it with the command .recover of sqlite3."
        )


def _open_source(connection: Any) -> sqlite3.Connection:
    """Open a connection that reads one state of the database, whatever others write.

    Without the transaction the copy would start again each time that another process writes.
    """
    name = str(connection.settings_dict["NAME"])
    uri = name if name.startswith("file:") else f"{Path(name).absolute().as_uri()}?mode=rw"
    source = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM sqlite_master").fetchone()
    return source


def _report(_status: int, remaining: int, total: int) -> None:
    progress(total - remaining, total)


def _hint(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return " Delete files, choose a directory on another disk, or lower keep."
    return ""
