"""Waits for the database before a worker starts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connections

from offload.store import get_store
from offload.store.errors import explain, is_missing_migration

RETRY_INTERVAL_SECONDS = 2.0
"""Time between two attempts to reach the database."""


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
