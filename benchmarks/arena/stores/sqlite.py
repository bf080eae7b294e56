"""A file."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from arena.stores.base import NAME, TEMPLATE, Store


class SQLite(Store):
    """A file in a folder of its own: contenders put more beside it."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._home = folder / "store"
        self._file = self._home / f"{NAME}.sqlite3"
        self._kept = folder / f"{TEMPLATE}.sqlite3"

    def create(self) -> None:
        self.drop()
        self._home.mkdir()

    def keep(self) -> None:
        # Not a copy of the file: the newest pages may still be in the log beside it.
        with closing(sqlite3.connect(self._file)) as connection:
            connection.execute("VACUUM INTO ?", (str(self._kept),))

    def restore(self) -> None:
        self.create()
        shutil.copyfile(self._kept, self._file)

    def drop(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)

    def connect(self) -> sqlite3.Connection:
        """Return a connection of the driver's own, with the settings that Django's have here."""
        connection = sqlite3.connect(self._file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA synchronous=normal")
        return connection

    def environment(self) -> dict[str, str]:
        return {"BENCH_STORE": self.name, "BENCH_DATABASE": str(self._file)}
