"""Jobs and results in Redis."""

from __future__ import annotations

import socket

from comparison.resource_usage import CpuTimes
from comparison.stores.base import Server, listener_cpu
from comparison.stores.postgresql import PostgreSQL


class Redis(Server):
    """Two numbered databases: one for messages, one for results.

    The query of the mixed jobs needs a table, which is in PostgreSQL.
    """

    name = "redis"
    port = 63799
    messages, results = 14, 15

    def __init__(self) -> None:
        super().__init__()
        self._tables = PostgreSQL()

    def create(self) -> None:
        self._tables.create()
        self.flush()

    def save(self) -> None:
        self._tables.save()

    def restore(self) -> None:
        self._tables.restore()
        self.flush()

    def drop(self) -> None:
        self._tables.drop()
        self.flush()

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "BENCH_DSN": self._tables.dsn(),
            "BENCH_URL": self._url(self.messages),
            "BENCH_RESULTS_URL": self._url(self.results),
        }

    def server_cpu(self) -> CpuTimes:
        return listener_cpu(self.port)

    def requests(self) -> int:
        (answer,) = self._send("INFO stats")
        line = next(part for part in answer.split("\r\n") if "total_commands_processed" in part)
        return int(line.partition(":")[2])

    def flush(self) -> None:
        """Delete all messages and results."""
        for number in (self.messages, self.results):
            self._send(f"SELECT {number}", "FLUSHDB")

    def _send(self, *commands: str) -> list[str]:
        """Send commands as text; each answer is short enough for one packet."""
        with socket.create_connection((self.host, self.port), timeout=10) as stream:
            answers = []
            for command in commands:
                stream.sendall(f"{command}\r\n".encode())
                answers.append(stream.recv(65536).decode())
            return answers

    def _url(self, number: int) -> str:
        return f"redis://{self.host}:{self.port}/{number}"
