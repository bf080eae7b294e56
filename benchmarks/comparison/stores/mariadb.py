"""Jobs in a database of a MariaDB server."""

from __future__ import annotations

from typing import Any

from comparison.resource_usage import CpuTimes
from comparison.stores.base import NAME, Server, listener_cpu


class MariaDB(Server):
    """A MariaDB database, restored by emptying its tables, as MariaDB has no templates."""

    name = "mariadb"
    port = 33069

    def create(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {NAME}")
        self._execute(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")

    def save(self) -> None:
        pass

    def restore(self) -> None:
        rows = self._execute(
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'offload%' "
            f"AND table_schema = '{NAME}'"
        )
        for (table,) in rows:
            self._execute(f"TRUNCATE {NAME}.{table}")

    def drop(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {NAME}")

    def run_maintenance(self) -> None:
        self._execute(f"ANALYZE TABLE {NAME}.offload_job")

    def server_cpu(self) -> CpuTimes:
        return listener_cpu(self.port)

    def _execute(self, sql: str) -> list[Any]:
        import MySQLdb  # noqa: PLC0415  # optional: it is built from source

        connection = MySQLdb.connect(
            host=self.host, port=self.port, user=self.user, password=self.password
        )
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall() or ())
        finally:
            connection.close()
