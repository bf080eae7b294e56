"""A transaction that stays open, so that the database cannot remove dead rows."""

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
def open_transaction() -> Iterator[None]:
    """Keep a transaction with a snapshot open, like a long report or a forgotten shell."""
    if connection.vendor == "sqlite":  # a transaction of Django's would lock the file
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
