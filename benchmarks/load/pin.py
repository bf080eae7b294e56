"""A transaction that stays open: what has changed since it began cannot be cleaned away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

BEGIN = {
    "postgresql": ["BEGIN ISOLATION LEVEL REPEATABLE READ"],
    "sqlite": ["BEGIN"],
    "mysql": [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    ],
}


@contextmanager
def pinned() -> Iterator[None]:
    """Hold a transaction open that has seen the tables, as a long report or a forgotten shell."""
    if connection.vendor == "sqlite":  # Django's transactions would lock the file
        holder: Any = sqlite3.connect(connection.settings_dict["NAME"], autocommit=True)
    else:
        holder = connection.copy()
    try:
        cursor = holder.cursor()
        for sql in (*BEGIN[connection.vendor], "SELECT COUNT(*) FROM offload_worker"):
            cursor.execute(sql)
        cursor.fetchall()
        yield
    finally:
        holder.close()
