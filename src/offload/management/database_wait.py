"""Waits for the database before a worker starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connections

from offload.notifier import is_in_memory
from offload.store import get_store
from offload.store.errors import explain, is_missing_migration
from offload.text import to_terminal_text

RETRY_INTERVAL_SECONDS = 2.0
"""Time between two attempts to reach the database."""


def describe_file(using: str) -> str:
    """Return " (<path>)" for a SQLite database, whose file may depend on the folder; else ""."""
    connection = connections[using]
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or is_in_memory(name):
        return ""
    return f" ({to_terminal_text(name if name.startswith('file:') else Path(name).absolute())})"


def wait_for_database(using: str, *, report: Callable[[str], None]) -> None:
    """Return when the queue's tables can be read.

    Args:
        using: alias in DATABASES.
        report: called with a message when the wait starts, and with another when it is over.

    Raises:
        CommandError: if the database responds but the tables are missing.
    """
    pause = threading.Event().wait
    is_waiting = False
    while True:
        try:
            get_store(using).ready_queues("")
            break
        except (DatabaseError, InterfaceError) as error:
            connections[using].close()
            explanation = str(explain(error, using))
            if is_missing_migration(error):
                raise CommandError(explanation) from error
        if not is_waiting:
            is_waiting = True
            report(f"{explanation}\nWaiting for the database.")
        pause(RETRY_INTERVAL_SECONDS)
    if is_waiting:
        report("The database responds.")
