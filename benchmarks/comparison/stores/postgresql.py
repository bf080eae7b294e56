"""Jobs in a database of a PostgreSQL server."""

from __future__ import annotations

from typing import Any

import psycopg

from comparison.resource_usage import CpuTimes, cpu_times
from comparison.stores.base import NAME, TEMPLATE, Server


class PostgreSQL(Server):
    """A PostgreSQL database, restored from a template."""

    name = "postgresql"
    port = 54329

    def create(self) -> None:
        self.drop()
        self._execute(f"CREATE DATABASE {NAME}")

    def save(self) -> None:
        self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE {NAME}")

    def restore(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")

    def drop(self) -> None:
        for name in (NAME, TEMPLATE):
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def run_maintenance(self) -> None:
        self._execute("VACUUM ANALYZE", database=NAME)
        self._execute("CHECKPOINT")

    def server_cpu(self) -> CpuTimes:
        """Exclude the processes that write the log and the files for all databases."""
        rows = self._execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{NAME}'")
        return cpu_times(pid for (pid,) in rows)

    def requests(self) -> int:
        rows = self._execute(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{NAME}'")
        return int(rows[0][0])

    def connect(self) -> psycopg.Connection:
        """Return a connection of the driver."""
        return psycopg.connect(self.dsn(), autocommit=True)

    def dsn(self, database: str = NAME) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "BENCH_DSN": self.dsn()}

    def _execute(self, sql: str, *, database: str = "postgres") -> list[Any]:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
