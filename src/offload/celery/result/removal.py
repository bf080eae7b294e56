"""Deletes the jobs of tasks that are to be forgotten."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from offload.backends.database import DatabaseBackend
from offload.celery.result.snapshots import read_all
from offload.store import get_store


def delete_finished(backend: Any, identifier: UUID) -> bool:
    """Delete a job that has ended; return whether there was one.

    Parts of a workflow stay until it is pruned, and a task stays while what has replaced it runs.
    """
    if not isinstance(backend, DatabaseBackend):
        return False
    known = read_all([identifier]).get(identifier)
    if known is not None and not known.is_finished:
        return False
    return get_store(backend.settings.database).forget(identifier)
