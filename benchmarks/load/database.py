"""A database that is created for one run and removed after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases

HERE = Path(__file__).resolve().parents[1]


def environment(kind: str, name: str, **variables: str) -> dict[str, str]:
    """Return the environment of a process that uses the database.

    Args:
        kind: sqlite, postgresql or mariadb.
        name: of the database.
        variables: further variables of `load.settings`, in lower case and without LOAD_.
    """
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ.get("LOAD_SETTINGS", "load.settings"),
        "PYTHONPATH": str(HERE),
        "LOAD_DATABASE": kind,
        "LOAD_NAME": name,
        **{f"LOAD_{key.upper()}": value for key, value in variables.items()},
    }


@contextmanager
def new_database(kind: str, name: str) -> Iterator[None]:
    """Set up Django in this process, with empty tables."""
    os.environ.update(environment(kind, name))
    django.setup()
    old = setup_databases(verbosity=0, interactive=False)
    try:
        yield
    finally:
        connections.close_all()
        teardown_databases(old, verbosity=0)
        if kind == "sqlite":  # the folder with the sockets of the notifier
            shutil.rmtree(f"{connection.settings_dict['NAME']}-hints", ignore_errors=True)


def query(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Execute a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def version() -> str:
    """Return the name and version of the database server."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        return f"SQLite {query('SELECT sqlite_version()')[0][0]}"
    text = str(query("SELECT version()")[0][0])
    name = "MariaDB" if "MariaDB" in text else text.split(maxsplit=1)[0]
    return f"{name} {text.removeprefix('PostgreSQL ').split()[0].split('-')[0]}"


def run_maintenance() -> None:
    """Run now what the server would otherwise run in the background of a measurement."""
    match connection.vendor:
        case "postgresql":
            query("VACUUM ANALYZE offload_job")
            query("CHECKPOINT")
        case "sqlite":
            query("PRAGMA wal_checkpoint(TRUNCATE)")
        case "mysql":
            query("ANALYZE TABLE offload_job")


def delete_jobs() -> None:
    """Delete all jobs and workers."""
    verb = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
    for table in ("offload_job", "offload_attempt", "offload_worker"):
        query(f"{verb} {table}")
    if connection.vendor == "sqlite":
        query("VACUUM")
