"""Remembers which tasks were enqueued in an open transaction: no worker can see them yet."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connections, transaction

from offload.backends.database import DatabaseBackend

_uncommitted: WeakKeyDictionary[Any, set[UUID]] = WeakKeyDictionary()


def remember(backend: Any, identifier: UUID) -> None:
    """Remember a job until the transaction that has enqueued it ends, if one is open."""
    connection = _open_transaction(backend)
    if connection is None:
        return
    known = _uncommitted.setdefault(connection, set())
    if not known:  # after a rollback the ids stay: they are those of no job
        transaction.on_commit(known.clear, using=connection.alias)
    known.add(identifier)


def is_uncommitted(backend: Any, identifier: UUID) -> bool:
    """Return whether this connection's open transaction has enqueued a job."""
    connection = _open_transaction(backend)
    return connection is not None and identifier in _uncommitted.get(connection, ())


def is_in_transaction(backend: Any) -> bool:
    """Return whether a transaction is open in the database of a backend."""
    return _open_transaction(backend) is not None


def _open_transaction(backend: Any) -> Any:
    if not isinstance(backend, DatabaseBackend):
        return None
    connection = connections[backend.settings.database]
    return connection if connection.in_atomic_block else None
