"""Hints wake workers and watchers. `get_notifier` returns the notifier of a database."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from django.db import connections

from offload.notifier.base import Hint, Listener, Notifier
from offload.notifier.polling import PollingNotifier
from offload.notifier.postgresql import PostgreSQLNotifier
from offload.notifier.sqlite import SQLiteNotifier
from offload.notifier.unix_sockets import UnixSocketNotifier

__all__ = ["Hint", "Listener", "Notifier", "get_notifier", "is_in_memory"]

_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}
_HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and hasattr(os, "getuid")


def get_notifier(using: str) -> Notifier:
    """Return the notifier of a database.

    Args:
        using: alias in DATABASES.
    """
    # Tests change the name of the database in a running process.
    return _make_notifier(using, str(connections[using].settings_dict["NAME"]))


@cache
def _make_notifier(using: str, name: str) -> Notifier:
    connection = connections[using]
    host = str(connection.settings_dict.get("HOST") or "")
    port = connection.settings_dict.get("PORT")
    match connection.vendor:
        case "postgresql":
            return PostgreSQLNotifier(using)
        case "sqlite" if _HAS_UNIX_SOCKETS and not is_in_memory(name):
            return SQLiteNotifier(using, Path(name).resolve())
        case "mysql" if _HAS_UNIX_SOCKETS and _is_local(host):
            return UnixSocketNotifier(f"{host}:{port}:{name}")
        case _:
            return PollingNotifier()


def is_in_memory(name: str) -> bool:
    """Return whether the NAME of a SQLite database means one in memory."""
    return not name or ":memory:" in name or "mode=memory" in name


def _is_local(host: str) -> bool:
    """Return True if a database server is on this host, as its other clients then probably are."""
    return host in _LOCAL_HOSTS or host.startswith("/")
