"""Hints on PostgreSQL: NOTIFY after the user's commit, never inside the transaction.

NOTIFY takes a lock of the whole cluster at commit. So it goes in a transaction of its own
which does not wait for the disk, and at most once in 10 ms per process: an engine that hears
a hint looks a second time a little later, for those that were left out.
"""

from __future__ import annotations

import contextlib
import select
import time

from django.db import Error, connections

from offload.notifier.base import Hint, Listener, Notifier

SPACING = 0.01
"""Seconds between two hints of one kind from one process."""

PATIENCE = 1.0
"""Seconds after which a hint that was not heard is taken for lost."""

_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
_CHANNEL = {
    Hint.WORK: "offload",
    Hint.CONTROL: "offload",
    Hint.WATCH: "offload",
    Hint.ENDED: "offload_ended",
}


class PostgreSQLNotifier(Notifier):
    """Gives hints by the connection that has just committed."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._last: dict[Hint, float] = {}

    def ring(self, hint: Hint) -> None:
        now = time.monotonic()
        # Cancels are few, and an engine does not look for them a second time.
        if hint != Hint.CONTROL and now - self._last.get(hint, 0.0) < SPACING:
            return
        self._last[hint] = now
        with contextlib.suppress(Error):
            self._notify(hint)

    def _notify(self, hint: Hint) -> None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(_NOTIFY, (_CHANNEL[hint], str(hint)))

    def listen(self, *hints: Hint) -> Listener:
        return PostgreSQLListener(self._using, _CHANNEL[hints[0]])

    def is_heard(self) -> bool:
        listener = self.listen(Hint.ENDED)
        try:
            descriptor = listener.fileno()
            if descriptor is None:
                return False
            self._notify(Hint.ENDED)
            select.select([descriptor], [], [], PATIENCE)
            return Hint.ENDED in listener.hints()
        finally:
            listener.close()


class PostgreSQLListener(Listener):
    """Listens on a connection of its own, which is never in a transaction."""

    echo = 1.5 * SPACING

    def __init__(self, using: str, channel: str) -> None:
        self._connection = connections[using].copy()
        self._channel = channel
        self._retry_at = 0.0
        self._listening = False
        self.hints()

    @property
    def interval(self) -> float:  # type: ignore[override]
        return 15.0 if self._listening else 1.0

    @property
    def look_interval(self) -> float | None:  # type: ignore[override]
        return 15.0 if self._listening else None

    def fileno(self) -> int | None:
        return self._connection.connection.fileno() if self._listening else None

    def hints(self) -> set[Hint]:
        if not self._listening and not self._connect():
            return set()
        heard = set()
        try:
            pgconn = self._connection.connection.pgconn
            pgconn.consume_input()
            while notification := pgconn.notifies():
                with contextlib.suppress(ValueError):
                    heard.add(Hint(notification.extra.decode()))
        except Exception:  # noqa: BLE001  # whatever broke: connect again
            self._disconnect()
            return {Hint.WORK, Hint.CONTROL, Hint.ENDED}  # some may have been missed
        return heard

    def _connect(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._connection.connect()
            self._connection.connection.autocommit = True
            self._connection.connection.execute(f"LISTEN {self._channel}")
        except Exception:  # noqa: BLE001  # the poll goes on without hints
            self._disconnect()
            return False
        self._listening = True
        return True

    def _disconnect(self) -> None:
        self._listening = False
        self._retry_at = time.monotonic() + 1.0
        with contextlib.suppress(Exception):
            self._connection.close()

    def close(self) -> None:
        self._disconnect()
