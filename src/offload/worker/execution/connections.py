"""Database connections between two jobs: cleaned up as Django does between two requests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import Error, connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def reset_connections(*, close_all: bool = False) -> None:
    """Close this thread's connections that are old, broken, or left inside a transaction.

    Call it after a job, and before the next one if the thread has waited meanwhile: the server may
    have closed a connection that has passed its CONN_MAX_AGE.

    Args:
        close_all: close every connection, as the task may have been interrupted in a query.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and (close_all or _has_transaction(connection)):
            _discard(connection)
            continue
        _call_ignoring_errors(connection.close_if_unusable_or_obsolete)
        connection.queries_log.clear()  # `reset_queries` would walk the connections again


def is_in_transaction() -> bool:
    """Return whether a transaction is open on a connection of this thread."""
    return any(
        connection.connection is not None and _has_transaction(connection)
        for connection in connections.all(initialized_only=True)
    )


def _has_transaction(connection: BaseDatabaseWrapper) -> bool:
    return connection.in_atomic_block or not connection.autocommit


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close a connection, and drop all that Django remembers about its transaction.

    Django creates the alias's object anew when the next job uses it.
    """
    _call_ignoring_errors(connection.close)
    del connections[connection.alias]


def _call_ignoring_errors(close: Callable[[], None]) -> None:
    """Close a connection that may be too broken to be closed."""
    with contextlib.suppress(Error):
        close()
