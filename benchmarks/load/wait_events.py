"""The wait events of the sessions of a PostgreSQL database, sampled fifty times a second."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Self

from django.db import connection

INTERVAL_SECONDS = 0.02
SAMPLE = """
SELECT coalesce(wait_event_type || ' ' || wait_event, 'none') FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
"""
NOTIFY = "Lock object"
"""The lock of the whole cluster that a transaction with NOTIFY holds until its commit."""


class WaitEvents:
    """Samples during a `with` block."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __str__(self) -> str:
        total = sum(self._counts.values())
        top = ", ".join(f"{name} {count}" for name, count in self._counts.most_common(4))
        return f"{self._counts[NOTIFY]} of {total} samples of sessions waited for NOTIFY ({top})"

    def _run(self) -> None:
        own = connection.copy()
        own.connect()
        try:
            while not self._stop.wait(INTERVAL_SECONDS):
                with own.cursor() as cursor:
                    cursor.execute(SAMPLE)
                    self._counts.update(name for (name,) in cursor.fetchall())
        finally:
            own.close()
