"""Hints on SQLite: the doorbell beside the file, and the file's own change counter."""

from __future__ import annotations

from pathlib import Path

from django.db import Error, connections

from offload.notifier.base import Hint, Listener
from offload.notifier.unix_sockets import UnixSocketNotifier


class SQLiteNotifier(UnixSocketNotifier):
    """A doorbell whose listeners also look at the file."""

    def __init__(self, using: str, path: Path) -> None:
        super().__init__(path.with_name(path.name + "-bells"))
        self._using = using

    def listen(self, *hints: Hint) -> Listener:
        return SQLiteListener(super().listen(*hints), self._using)


class SQLiteListener(Listener):
    """Also sees rows that were written by programs which ring no bell."""

    check_interval = 0.5
    poll_interval = 15.0

    def __init__(self, bell: Listener, using: str) -> None:
        self._bell = bell
        self._using = using
        self._version = None

    def fileno(self) -> int | None:
        return self._bell.fileno()

    def receive(self) -> set[Hint]:
        return self._bell.receive()

    def changed(self) -> bool:
        """Compare `PRAGMA data_version`, which grows with the commits of other connections."""
        connection = connections[self._using]
        try:
            connection.ensure_connection()
            with connection.wrap_database_errors:
                (version,) = connection.connection.execute("PRAGMA data_version").fetchone()
        except Error:
            return True  # who looks meets the same trouble, and knows what to do
        seen, self._version = self._version, version
        return bool(seen != version)

    def close(self) -> None:
        self._bell.close()
