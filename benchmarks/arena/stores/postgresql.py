"""A database, and a template of it."""

from __future__ import annotations

from typing import Any

import psycopg

from arena.stores.base import NAME, TEMPLATE, Server
from arena.usage import Usage, processor_seconds


class PostgreSQL(Server):
    """A database, and a template of it."""

    name = "postgresql"
    counts = "transactions"
    port = 54329

    def create(self) -> None:
        self.drop()
        self._execute(f"CREATE DATABASE {NAME}")

    def keep(self) -> None:
        self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE {NAME}")

    def restore(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")

    def drop(self) -> None:
        for name in (NAME, TEMPLATE):
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def settle(self) -> None:
        self._execute("VACUUM ANALYZE", database=NAME)
        self._execute("CHECKPOINT")

    def usage(self) -> Usage:
        """Leave out what writes the log and the files: it serves other databases too."""
        rows = self._execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{NAME}'")
        return processor_seconds(pid for (pid,) in rows)

    def requests(self) -> int:
        rows = self._execute(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{NAME}'")
        return int(rows[0][0])

    def connect(self) -> psycopg.Connection:
        """Return a connection of the driver's own."""
        return psycopg.connect(self.dsn(), autocommit=True)

    def dsn(self, database: str = NAME) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "BENCH_DSN": self.dsn()}

    def _execute(self, sql: str, *, database: str = "postgres") -> list[Any]:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
