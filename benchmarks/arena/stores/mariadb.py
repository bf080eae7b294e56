"""A database whose tables are emptied, since there are no templates."""

from __future__ import annotations

from typing import Any

from arena.stores.base import NAME, Server
from arena.usage import Usage


class MariaDB(Server):
    """A database; the tables are emptied, since there are no templates."""

    name = "mariadb"
    port = 33069

    def create(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {NAME}")
        self._execute(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")

    def keep(self) -> None:
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

    def settle(self) -> None:
        self._execute(f"ANALYZE TABLE {NAME}.offload_job")

    def usage(self) -> Usage:
        return self._process()

    def _execute(self, sql: str) -> list[Any]:
        import MySQLdb  # noqa: PLC0415  # built from source, so it may be missing

        connection = MySQLdb.connect(
            host=self.host, port=self.port, user=self.user, password=self.password
        )
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall() or ())
        finally:
            connection.close()
