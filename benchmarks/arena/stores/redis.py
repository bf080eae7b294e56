"""Two of the numbered databases: one for messages, one for results."""

from __future__ import annotations

import socket

from arena.stores.base import Server
from arena.stores.postgresql import PostgreSQL
from arena.usage import Usage


class Redis(Server):
    """Two of the numbered databases, one for messages and one for results.

    A contender's query needs a table, and goes to PostgreSQL.
    """

    name = "redis"
    counts = "commands"
    port = 63799
    messages, results = 14, 15

    def __init__(self) -> None:
        super().__init__()
        self._tables = PostgreSQL()

    def create(self) -> None:
        self._tables.create()
        self._flush()

    def keep(self) -> None:
        self._tables.keep()

    def restore(self) -> None:
        self._tables.restore()
        self._flush()

    def drop(self) -> None:
        self._tables.drop()
        self._flush()

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "BENCH_DSN": self._tables.dsn(),
            "BENCH_URL": self._url(self.messages),
            "BENCH_RESULTS_URL": self._url(self.results),
        }

    def usage(self) -> Usage:
        return self._process()

    def requests(self) -> int:
        (answer,) = self._ask("INFO stats")
        line = next(part for part in answer.split("\r\n") if "total_commands_processed" in part)
        return int(line.partition(":")[2])

    def _flush(self) -> None:
        for number in (self.messages, self.results):
            self._ask(f"SELECT {number}", "FLUSHDB")

    def _ask(self, *commands: str) -> list[str]:
        """Send commands as text; the answers are short enough to come in one piece."""
        with socket.create_connection((self.host, self.port), timeout=10) as stream:
            answers = []
            for command in commands:
                stream.sendall(f"{command}\r\n".encode())
                answers.append(stream.recv(65536).decode())
            return answers

    def _url(self, number: int) -> str:
        return f"redis://{self.host}:{self.port}/{number}"
