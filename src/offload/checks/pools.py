"""The check that connection pools are as large as the tasks of a process need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.checks import Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from offload.backends.base import OffloadBackend, offload_backends
from offload.checks.messages import Messages

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

DEFAULT_SIZE = 4
"""Connections in a pool of psycopg that has no other size."""


def check_pools() -> Messages:
    """Check that each pool has a connection for each thread in which a task may need one."""
    needed = max(map(_threads_for_tasks, offload_backends()), default=0)
    for connection in connections.all():
        size = pool_size(connection)
        if size is not None and size < needed:
            yield Warning(
                f"The pool of DATABASES[{connection.alias!r}] has {size} connections, but the "
                f"tasks of one process may need {needed} at a time: one for each of its threads "
                "and async_threads. A task that finds none fails after the pool's timeout.",
                hint=f'Set its OPTIONS["pool"]["max_size"] to {needed} (and one more for each '
                "request at a time, if web servers run jobs), or lower those options in TASKS.",
                id="offload.W023",
            )


def _threads_for_tasks(backend: OffloadBackend) -> int:
    try:
        options = backend.settings
    except ImproperlyConfigured:  # its own check reports it
        return 0
    return options.threads + options.async_threads


def pool_size(connection: BaseDatabaseWrapper) -> int | None:
    """Return the most connections that a database's pool opens; None if it has no pool."""
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if connection.vendor != "postgresql" or not pool:
        return None
    sizes: dict[str, int] = {} if pool is True else pool
    return max(sizes.get("min_size", DEFAULT_SIZE), sizes.get("max_size") or 0)
