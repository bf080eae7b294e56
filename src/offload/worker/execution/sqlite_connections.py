"""Connections that tasks open to SQLite: they wait for its only write lock.

Most projects keep Django's default options for SQLite. A transaction then starts without the lock,
and one that first reads and later writes fails at once if another process has written meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.backends.signals import connection_created
from django.dispatch import receiver

from offload.context import running_job

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

TIMEOUT_SECONDS = 20
"""How long a task's statement waits for the lock, unless the project sets `timeout`."""


class SQLiteChanges:
    """What an attempt has changed on each SQLite connection that it used."""

    def __init__(self) -> None:
        self._counts: list[tuple[str, sqlite3.Connection, int]] = []

    def remember(self, connection: BaseDatabaseWrapper) -> None:
        """Remember a connection and its count of changed rows, when the attempt first uses it."""
        driver = connection.connection
        if all(known is not driver for _, known, _ in self._counts):
            self._counts.append((connection.alias, driver, driver.total_changes))

    def are_undone(self, atomic_in: str) -> bool:
        """Return whether nothing can have been committed.

        The count includes changes that were rolled back: then the answer is False, too.

        Args:
            atomic_in: alias of the database whose transaction was rolled back.
        """
        try:
            return bool(self._counts) and all(
                alias == atomic_in or driver.total_changes == count
                for alias, driver, count in self._counts
            )
        except sqlite3.ProgrammingError:  # the task has closed it
            return False


@receiver(connection_created, dispatch_uid="offload.sqlite_locks")
def _prepare_connection(connection: Any, **_: Any) -> None:
    """Make a connection that a task opens wait for the lock, and count what it changes."""
    if connection.vendor != "sqlite" or running_job() is None:
        return
    options = connection.settings_dict["OPTIONS"]
    if "transaction_mode" not in options:
        connection.transaction_mode = "IMMEDIATE"
    if "timeout" not in options:
        connection.connection.execute(f"PRAGMA busy_timeout = {TIMEOUT_SECONDS * 1000}")
    if _remember_changes not in connection.execute_wrappers:
        connection.execute_wrappers.append(_remember_changes)


def _remember_changes(
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,  # noqa: FBT001  # Django passes it so
    context: dict[str, Any],
) -> Any:
    """Remember the connection before a statement: a wrapper as `connection.execute_wrapper` has."""
    changes = getattr(running_job(), "sqlite_changes", None)
    if changes is not None:
        changes.remember(context["connection"])
    return execute(sql, params, many, context)
