"""The store: the only package that changes jobs. `get_store` returns a database's store."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from offload.store.base import Store

__all__ = ["get_store"]

# By path: backends are created before the app registry is ready, and the stores import models.
DIALECTS = {
    "postgresql": "offload.store.postgresql.PostgreSQLStore",
    "sqlite": "offload.store.sqlite.SQLiteStore",
    "mysql": "offload.store.mysql.MySQLStore",
}


@cache
def get_store(using: str) -> Store:
    """Return the store of a database.

    Args:
        using: alias in DATABASES.

    Raises:
        ImproperlyConfigured: for an unknown alias or an unsupported database, or if the app is
            not installed.
    """
    if not apps.is_installed("offload"):
        raise ImproperlyConfigured(
            "Add 'offload' to INSTALLED_APPS, then run: python manage.py migrate"
        )
    if using not in connections:
        raise ImproperlyConfigured(
            f"OPTIONS['database'] is {using!r}, which is not in DATABASES "
            f"({', '.join(sorted(connections))})."
        )
    vendor = connections[using].vendor
    if vendor not in DIALECTS:
        raise ImproperlyConfigured(
            f"Jobs cannot be stored in DATABASES[{using!r}], which is {vendor}. Supported are "
            "PostgreSQL, SQLite, MariaDB and MySQL."
        )
    store: Store = import_string(DIALECTS[vendor])(using)
    return store
