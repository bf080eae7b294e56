"""The jobs of a backend, wherever it keeps them: in the database or in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.tasks import task_backends

from offload.backends.database import DatabaseBackend
from offload.store import get_store
from offload.testing.backends import MemoryBackend

if TYPE_CHECKING:
    from offload.store.base import Store


def get_backend(alias: str) -> DatabaseBackend:
    """Return the backend of that name.

    Raises:
        TypeError: if it is none of ours.
        InvalidTaskBackend: if TASKS does not have it.
    """
    backend = task_backends[alias]
    if not isinstance(backend, DatabaseBackend):
        kind = type(backend)
        raise TypeError(
            f"TASKS[{alias!r}] is {kind.__module__}.{kind.__qualname__}, whose jobs cannot be "
            "looked at. In tests it must be the DatabaseBackend, or be replaced by "
            "offload.testing.recording() or offload.testing.immediate()."
        )
    return backend


def store_of(backend: DatabaseBackend) -> Store:
    """Return where a backend keeps its jobs."""
    if isinstance(backend, MemoryBackend):
        return cast("Store", backend.memory)
    return get_store(backend.settings.database)


def find_rows(backend: DatabaseBackend, **columns: Any) -> list[Any]:
    """Return the jobs whose columns have these values, in the order of their enqueueing.

    They are rows of `offload.models.Job`, or `MemoryJob`s, which have the same attributes.
    """
    if isinstance(backend, MemoryBackend):
        return backend.memory.rows(backend.alias, **columns)
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    jobs = Job.objects.using(backend.settings.database)
    return list(jobs.filter(backend=backend.alias, **columns).order_by("pk"))
