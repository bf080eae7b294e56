"""Restores backups as docs/howto/clean-up-and-back-up.md does, beside the test's database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import connection


@contextmanager
def restored(backup: Path, folder: Path) -> Iterator[str]:
    """Restore a native backup; yield the name of the database."""
    if connection.vendor == "sqlite":
        name = folder / "restored.sqlite3"
        shutil.copy(backup, name)
        yield str(name)
        return
    name = f"{connection.settings_dict['NAME']}_restored"
    _execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    try:
        if connection.vendor == "postgresql":
            _run(["pg_restore", "--no-owner", "--exit-on-error", str(backup)], name, is_last=False)
        else:
            sql = subprocess.run(["gunzip", "-c", backup], stdout=subprocess.PIPE, check=True)
            _run(["mariadb"], name, data=sql.stdout)
        yield name
    finally:
        _execute(f"DROP DATABASE {name}")


def query(name: str, sql: str) -> list[Any]:
    """Return the rows of a query in a database."""
    key = "dbname" if connection.vendor == "postgresql" else "database"
    raw = connection.get_new_connection({**connection.get_connection_params(), key: name})
    with closing(raw), closing(raw.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _run(command: list[str], name: str, *, data: bytes = b"", is_last: bool = True) -> None:
    chosen = {**connection.settings_dict, "NAME": name}
    options, variables = connection.client.settings_to_cmd_args_env(chosen, [])
    program, *arguments = command
    target = options[1:] if is_last else [*options[1:-1], "--dbname", name]
    subprocess.run(
        [program, *target, *arguments],
        env={**os.environ, **(variables or {})},
        input=data,
        check=True,
    )


def _execute(*statements: str) -> None:
    with connection._nodb_cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
