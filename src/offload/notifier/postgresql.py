"""Hints on PostgreSQL: NOTIFY after the user's commit, never inside the transaction.

NOTIFY takes a cluster-wide lock at commit. So it runs in a transaction of its own that does not
wait for the disk, and at most about every 10 ms per process. A listener that receives a hint polls
again a little later, for the hints that were left out.

A pooler such as PgBouncer in transaction mode accepts LISTEN and then drops it. So a listener is
relied on only after it has received a probe that it sent to itself.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable

from django.db import Error, connections

from offload.notifier.base import Hint, Listener, Notifier
from offload.uuid7 import new_id

HINT_INTERVAL = 0.01
"""Seconds between two hints of one kind from one process, when there are many."""
MAX_BURST = 10
"""Hints that may follow each other at once, so that waiting for job after job stays fast."""
PROBE_TIMEOUT = 1.0
"""Seconds after which a probe counts as lost."""
PROBE_INTERVAL = 15.0
"""Seconds between two probes of a listener that has not received one."""
RECONNECT_DELAY = 1.0
"""Seconds until a lost connection is tried again."""

_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
_MISSED_HINTS = frozenset(Hint) - {Hint.WATCH}
"""Hints that may have been lost while a listener was not connected."""
_RARE_HINTS = frozenset({Hint.QUEUES, Hint.CONTROL})
_CHANNELS = {
    Hint.WORK: "offload",
    Hint.LIMITED: "offload",
    Hint.QUEUES: "offload",
    Hint.WORKFLOW: "offload",
    Hint.CONTROL: "offload",
    Hint.WATCH: "offload",
    Hint.CHANGED: "offload_changed",
}


class PostgreSQLNotifier(Notifier):
    """Sends hints by the connection that has just committed.

    Args:
        using: alias in DATABASES.
        clock: monotonic time in seconds.
    """

    def __init__(self, using: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._using = using
        self._clock = clock
        self._booked_until: dict[Hint, float] = {}
        """Until when the hints sent so far use up their intervals (GCRA)."""

    def notify(self, hint: Hint) -> None:
        now = self._clock()
        booked_until = max(self._booked_until.get(hint, 0.0), now)
        # A hint may be left out because listeners poll again a little after the one before. After
        # those that are rare they do not, so all of these are sent.
        has_used_burst = booked_until - now > (MAX_BURST - 1) * HINT_INTERVAL
        if has_used_burst and hint not in _RARE_HINTS:
            return
        self._booked_until[hint] = booked_until + HINT_INTERVAL
        _notify(self._using, _CHANNELS[hint], hint)

    def listen(self, *hints: Hint) -> PostgreSQLListener:
        return PostgreSQLListener(self._using, _CHANNELS[hints[0]], self._clock)

    def delivers_hints(self) -> bool:
        listener = self.listen(Hint.CHANGED)
        deadline = self._clock() + PROBE_TIMEOUT
        try:
            listener.send_probe()
            while not listener.is_verified:
                descriptor = listener.fileno()
                remaining = deadline - self._clock()
                if descriptor is None or remaining <= 0:
                    return False
                select.select([descriptor], [], [], remaining)
                listener.receive()
            return True
        finally:
            listener.close()


class PostgreSQLListener(Listener):
    """Listens on a connection of its own, which is never in a transaction.

    Args:
        using: alias in DATABASES.
        channel: the channel to LISTEN on.
        clock: monotonic time in seconds.
    """

    repoll_delay = 1.5 * HINT_INTERVAL

    def __init__(
        self, using: str, channel: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._using = using
        self._channel = channel
        self._clock = clock
        self._connection = connections[using].copy()
        # Kept for good, so not one of the project's pool.
        self._connection.settings_dict["OPTIONS"].pop("pool", None)
        self._is_connected = False
        self._reconnect_at = 0.0
        self._probe = f"probe {new_id()}"
        self._next_probe_at = 0.0
        self.is_verified = False
        """Whether a probe has arrived on this connection."""
        self.receive()

    @property
    def check_interval(self) -> float:  # type: ignore[override]
        return 15.0 if self.is_verified else 1.0

    @property
    def poll_interval(self) -> float | None:  # type: ignore[override]
        return 15.0 if self.is_verified else None

    def fileno(self) -> int | None:
        return self._connection.connection.fileno() if self._is_connected else None

    def receive(self) -> set[Hint]:
        hints: set[Hint] = set()
        if not self._is_connected:
            if not self._connect():
                return hints
            hints |= _MISSED_HINTS
        try:
            pgconn = self._connection.connection.pgconn
            pgconn.consume_input()
            while notification := pgconn.notifies():
                text = notification.extra.decode()
                if text == self._probe:
                    self.is_verified = True
                with contextlib.suppress(ValueError):  # another listener's probe
                    hints.add(Hint(text))
        except Exception:  # noqa: BLE001  # reconnect after any failure
            self._disconnect()
            return set(_MISSED_HINTS)
        return hints

    def changed(self) -> bool:
        self.send_probe()  # this is an idle moment; a busy worker polls anyway
        return False

    def send_probe(self) -> None:
        """Send a probe to this listener by another connection, unless one has arrived."""
        now = self._clock()
        if self._is_connected and not self.is_verified and now >= self._next_probe_at:
            self._next_probe_at = now + PROBE_INTERVAL
            _notify(self._using, self._channel, self._probe)

    def _connect(self) -> bool:
        if self._clock() < self._reconnect_at:
            return False
        try:
            self._connection.connect()
            self._connection.connection.autocommit = True
            self._connection.connection.execute(f"LISTEN {self._channel}")
        except Exception:  # noqa: BLE001  # polling continues without hints
            self._disconnect()
            return False
        self._is_connected = True
        return True

    def _disconnect(self) -> None:
        self._is_connected = False
        self.is_verified = False
        self._next_probe_at = 0.0
        self._reconnect_at = self._clock() + RECONNECT_DELAY
        with contextlib.suppress(Exception):
            self._connection.close()

    def close(self) -> None:
        self._disconnect()


def _notify(using: str, channel: str, text: str) -> None:
    """Send a notification by the thread's connection; ignore a failure."""
    with contextlib.suppress(Error), connections[using].cursor() as cursor:
        cursor.execute(_NOTIFY, (channel, str(text)))
