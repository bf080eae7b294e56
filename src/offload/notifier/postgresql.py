"""Hints on PostgreSQL: NOTIFY after the user's commit, never inside the transaction.

NOTIFY takes a lock of the whole cluster at commit. So it goes in a transaction of its own
which does not wait for the disk, and at most once in 10 ms per process: an engine that receives
a hint looks a second time a little later, for those that were left out.

A pooler such as PgBouncer in transaction mode accepts a LISTEN and forgets it. So a listener
is relied on only after it heard what it sent to itself.
"""

from __future__ import annotations

import contextlib
import select
import time

from django.db import Error, connections

from offload.notifier.base import Hint, Listener, Notifier
from offload.uuid7 import new_id

SPACING = 0.01
"""Seconds between two hints of one kind from one process, if there are many."""

BURST = 10
"""Hints that may follow each other at once: who waits for job after job is not slowed down."""

PATIENCE = 1.0
"""Seconds after which a hint that was not heard is taken for lost."""

TRIAL_INTERVAL = 15.0
"""Seconds between two tries of a listener that has not heard itself."""

_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
_ALL = {Hint.WORK, Hint.CONTROL, Hint.CHANGED}
_CHANNEL = {
    Hint.WORK: "offload",
    Hint.CONTROL: "offload",
    Hint.WATCH: "offload",
    Hint.CHANGED: "offload_changed",
}


class PostgreSQLNotifier(Notifier):
    """Gives hints by the connection that has just committed."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._spent: dict[Hint, float] = {}
        """Until when the hints that were given are spaced out (GCRA)."""

    def notify(self, hint: Hint) -> None:
        now = time.monotonic()
        spent = max(self._spent.get(hint, 0.0), now)
        # One that is left out follows another within SPACING, so listeners look once more a
        # little later. For cancels, which are few, they do not.
        if hint != Hint.CONTROL and spent - now > (BURST - 1) * SPACING:
            return
        self._spent[hint] = spent + SPACING
        _notify(self._using, _CHANNEL[hint], hint)

    def listen(self, *hints: Hint) -> PostgreSQLListener:
        return PostgreSQLListener(self._using, _CHANNEL[hints[0]])

    def delivers_hints(self) -> bool:
        listener = self.listen(Hint.CHANGED)
        give_up_at = time.monotonic() + PATIENCE
        try:
            listener.send_probe()
            while not listener.is_verified and (left := give_up_at - time.monotonic()) > 0:
                descriptor = listener.fileno()
                if descriptor is None:
                    return False
                select.select([descriptor], [], [], left)
                listener.receive()
            return listener.is_verified
        finally:
            listener.close()


class PostgreSQLListener(Listener):
    """Listens on a connection of its own, which is never in a transaction."""

    repoll_delay = 1.5 * SPACING

    def __init__(self, using: str, channel: str) -> None:
        self._using = using
        self._connection = connections[using].copy()
        self._channel = channel
        self._retry_at = 0.0
        self._listening = False
        self._trial = f"trial {new_id()}"
        self._trial_at = 0.0
        self.is_verified = False
        """Whether what it sent to itself arrived, since it connected."""
        self.receive()

    @property
    def check_interval(self) -> float:  # type: ignore[override]
        return 15.0 if self.is_verified else 1.0

    @property
    def poll_interval(self) -> float | None:  # type: ignore[override]
        return 15.0 if self.is_verified else None

    def fileno(self) -> int | None:
        return self._connection.connection.fileno() if self._listening else None

    def receive(self) -> set[Hint]:
        heard: set[Hint] = set()
        if not self._listening:
            if not self._connect():
                return heard
            heard |= _ALL  # some may have been missed while it was deaf
        try:
            pgconn = self._connection.connection.pgconn
            pgconn.consume_input()
            while notification := pgconn.notifies():
                text = notification.extra.decode()
                self.is_verified = self.is_verified or text == self._trial
                with contextlib.suppress(ValueError):  # the trial of another listener
                    heard.add(Hint(text))
        except Exception:  # noqa: BLE001  # whatever broke: connect again
            self._disconnect()
            return _ALL
        return heard

    def changed(self) -> bool:
        self.send_probe()  # an idle moment; a busy engine looks anyhow
        return False

    def send_probe(self) -> None:
        """Send itself something, by another connection, if it has not heard itself yet."""
        now = time.monotonic()
        if self._listening and not self.is_verified and now >= self._trial_at:
            self._trial_at = now + TRIAL_INTERVAL
            _notify(self._using, self._channel, self._trial)

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
        self._listening = self.is_verified = False
        self._trial_at = 0.0
        self._retry_at = time.monotonic() + 1.0
        with contextlib.suppress(Exception):
            self._connection.close()

    def close(self) -> None:
        self._disconnect()


def _notify(using: str, channel: str, text: str) -> None:
    """Notify by the thread's ordinary connection; a hint that cannot be given is left out."""
    with contextlib.suppress(Error), connections[using].cursor() as cursor:
        cursor.execute(_NOTIFY, (channel, str(text)))
