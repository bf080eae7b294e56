"""Jobs in a SQLite file."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from comparison.stores.base import NAME, TEMPLATE, Store


class SQLite(Store):
    """A SQLite file in a folder of its own, in which contenders may create other files."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "store"
        self._file = self._folder / f"{NAME}.sqlite3"
        self._saved = folder / f"{TEMPLATE}.sqlite3"

    def create(self) -> None:
        self.drop()
        self._folder.mkdir()

    def save(self) -> None:
        # The newest pages may still be in the log, which a copy of the file would lack.
        with closing(sqlite3.connect(self._file)) as connection:
            connection.execute("VACUUM INTO ?", (str(self._saved),))

    def restore(self) -> None:
        self.create()
        shutil.copyfile(self._saved, self._file)

    def drop(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def connect(self) -> sqlite3.Connection:
        """Return a connection of the driver, with the settings of Django's connections here."""
        connection = sqlite3.connect(self._file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA synchronous=normal")
        return connection

    def environment(self) -> dict[str, str]:
        return {"BENCH_STORE": self.name, "BENCH_DATABASE": str(self._file)}
