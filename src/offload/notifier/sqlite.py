"""Hints on SQLite: sockets beside the database file, and the file's own change counter."""

from __future__ import annotations

from pathlib import Path

from django.db import Error, connections

from offload.notifier.base import Hint, Listener
from offload.notifier.unix_sockets import UnixSocketNotifier


class SQLiteNotifier(UnixSocketNotifier):
    """Unix sockets in a folder beside the database file.

    Args:
        using: alias in DATABASES.
        path: the database file.
    """

    def __init__(self, using: str, path: Path) -> None:
        super().__init__(str(path), path.with_name(f"{path.name}-hints"))
        self._using = using

    def listen(self, *hints: Hint) -> Listener:
        return SQLiteListener(super().listen(*hints), self._using)


class SQLiteListener(Listener):
    """A listener that also notices rows written by programs that send no hints."""

    check_interval = 0.5
    poll_interval = 15.0

    def __init__(self, sockets: Listener, using: str) -> None:
        self._sockets = sockets
        self._using = using
        self._data_version: int | None = None

    def fileno(self) -> int | None:
        return self._sockets.fileno()

    def receive(self) -> set[Hint]:
        return self._sockets.receive()

    def changed(self) -> bool:
        """Compare `PRAGMA data_version`, which grows with commits of other connections."""
        connection = connections[self._using]
        try:
            connection.ensure_connection()
            with connection.wrap_database_errors:
                (version,) = connection.connection.execute("PRAGMA data_version").fetchone()
        except Error:
            return True  # the poll meets the same error, and handles it
        has_changed: bool = version != self._data_version
        self._data_version = version
        return has_changed

    def close(self) -> None:
        self._sockets.close()
