"""Database connections between two jobs: closed as Django does between two requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.db import Error, connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def reset_connections(*, close_all: bool = False) -> None:
    """Close this thread's connections that are old, broken, or left inside a transaction.

    Call it after a job, and before the next one if the thread has waited meanwhile: the server may
    have closed a connection that has passed its CONN_MAX_AGE.

    What a task has set on the object of a closed connection, such as the schema of a tenant, ends
    with it: Django creates the alias's object anew when the next job uses it.

    Args:
        close_all: close every connection, as the task may have been interrupted in a query.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and (close_all or _has_transaction(connection)):
            _discard(connection)
            continue
        _call_ignoring_errors(connection.close_if_unusable_or_obsolete)
        if connection.connection is None:
            del connections[connection.alias]
        else:
            connection.queries_log.clear()  # `reset_queries` would walk the connections again


def are_in_transaction(opened: Iterable[BaseDatabaseWrapper]) -> bool:
    """Return whether a transaction is open on a connection; called from any thread."""
    return any(
        connection.connection is not None and _has_transaction(connection) for connection in opened
    )


def can_stay_open(opened: Iterable[BaseDatabaseWrapper]) -> bool:
    """Return whether `reset_connections` would close none of them; called from any thread."""
    now = time.monotonic()
    return all(
        connection.connection is None
        or not (
            _has_transaction(connection)
            or connection.errors_occurred
            or (connection.close_at is not None and now >= connection.close_at)
        )
        for connection in opened
    )


def _has_transaction(connection: BaseDatabaseWrapper) -> bool:
    return connection.in_atomic_block or not connection.autocommit


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close a connection, and drop all that Django remembers about its transaction."""
    _call_ignoring_errors(connection.close)
    del connections[connection.alias]


def _call_ignoring_errors(close: Callable[[], None]) -> None:
    """Close a connection that may be too broken to be closed."""
    with contextlib.suppress(Error):
        close()
