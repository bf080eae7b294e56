"""Database connections between two jobs: as Django leaves them between two requests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from django.db import Error, connections


def reset_connections(*, spoiled: bool = False) -> None:
    """Close the connections of this thread that are old, broken, or left inside a transaction.

    Args:
        spoiled: close all, since the task may have been interrupted while a query was under way.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and (
            spoiled or connection.in_atomic_block or not connection.autocommit
        ):
            connection.in_atomic_block = False
            connection.savepoint_ids = []
            connection.needs_rollback = False
            _close(connection.close)
        _close(connection.close_if_unusable_or_obsolete)
        connection.queries_log.clear()  # as `reset_queries` does, with a second walk


def close_unusable() -> None:
    """Close the connections of this thread that broke, and no other: tasks may be using them."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block:
            if connection.connection is None or connection.is_usable():
                connection.errors_occurred = False
            else:
                _close(connection.close)


def _close(close: Callable[[], None]) -> None:
    """Close a connection although it may be too broken to be closed."""
    with contextlib.suppress(Error):
        close()
