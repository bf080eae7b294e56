"""Connections that jobs open to SQLite: they wait for its only write lock.

Most projects keep Django's default options for SQLite. A transaction then starts without the lock,
and one that first reads and later writes fails at once if another process has written meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

from django.db.backends.signals import connection_created
from django.dispatch import receiver

from offload.context import running_job

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

TIMEOUT_SECONDS = 20
"""How long a task's statement waits for the lock, unless the project sets `timeout`."""

_has_unknown_changes = Event()
"""Set when a thread of a task's own opens a connection, whose changes belong to no known job."""


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

        The count includes changes that were rolled back: then the answer is False, too. It is
        also False as soon as a task of this process has used SQLite in threads of its own.

        Args:
            atomic_in: alias of the database whose transaction was rolled back.
        """
        try:
            return (
                bool(self._counts)
                and not _has_unknown_changes.is_set()
                and all(
                    alias == atomic_in or driver.total_changes == count
                    for alias, driver, count in self._counts
                )
            )
        except sqlite3.ProgrammingError:  # the task has closed it
            return False


def prepare_all_connections() -> None:
    """Prepare also those that no job opens in this process, which runs nothing but jobs.

    A task may open them in threads of its own, which do not know its job.
    """
    connection_created.connect(_prepare_other, dispatch_uid="offload.sqlite_locks.other")


@receiver(connection_created, dispatch_uid="offload.sqlite_locks")
def _prepare_of_job(connection: Any, **_: Any) -> None:
    """Make a connection that a job opens wait for the lock, and count what it changes."""
    if connection.vendor != "sqlite" or running_job() is None:
        return
    _wait_for_lock(connection)
    if _remember_changes not in connection.execute_wrappers:
        connection.execute_wrappers.append(_remember_changes)


def _prepare_other(connection: Any, **_: Any) -> None:
    """Make a connection wait for the lock; nobody knows which job's changes it makes."""
    if connection.vendor == "sqlite" and running_job() is None:
        _wait_for_lock(connection)
        _has_unknown_changes.set()


def _wait_for_lock(connection: Any) -> None:
    options = connection.settings_dict["OPTIONS"]
    if "transaction_mode" not in options:
        connection.transaction_mode = "IMMEDIATE"
    if "timeout" not in options:
        connection.connection.execute(f"PRAGMA busy_timeout = {TIMEOUT_SECONDS * 1000}")


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
