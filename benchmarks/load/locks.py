"""What the sessions of a PostgreSQL database wait for, sampled fifty times a second."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Self

from django.db import connection

INTERVAL = 0.02
SAMPLE = """
SELECT coalesce(wait_event_type || ' ' || wait_event, 'none') FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
"""
NOTIFY = "Lock object"
"""The lock of the whole cluster that a transaction with NOTIFY takes until it has committed."""


class Waits:
    """Samples as long as its block runs."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __str__(self) -> str:
        total = sum(self._found.values())
        most = ", ".join(f"{name} {count}" for name, count in self._found.most_common(4))
        return f"{self._found[NOTIFY]} of {total} samples of sessions waited for NOTIFY ({most})"

    def _run(self) -> None:
        own = connection.copy()
        own.connect()
        try:
            while not self._over.wait(INTERVAL):
                with own.cursor() as cursor:
                    cursor.execute(SAMPLE)
                    self._found.update(name for (name,) in cursor.fetchall())
        finally:
            own.close()
