"""Before an engine starts: is the queue there?"""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connections

from offload.store import get_store
from offload.store.errors import explain, is_missing_migration

PAUSE = 2.0
"""Seconds between two tries to reach the database."""


def wait_for_database(using: str, *, tell: Callable[[str], None]) -> None:
    """Return when the queue's tables answer; tell once that it waits.

    Raises:
        CommandError: if the database answers and the tables are missing.
    """
    told = False
    while True:
        try:
            get_store(using).ready_queues("")
        except (DatabaseError, InterfaceError) as error:
            connections[using].close()
            if is_missing_migration(error):
                raise CommandError(str(explain(error, using))) from error
            if not told:
                tell(f"{explain(error, using)}\nWaiting for it.")
                told = True
            threading.Event().wait(PAUSE)
        else:
            if told:
                tell("The database answers.")
            return
