"""What every store can do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

import psutil

from arena.usage import Usage, processor_seconds

NAME = f"offload_bench_{os.getpid()}"
TEMPLATE = f"{NAME}_template"


class Store(ABC):
    """One database of our own on one server."""

    name: str
    counts: str = ""
    """What `requests` counts."""

    @abstractmethod
    def create(self) -> None:
        """Make an empty database, whatever was there."""

    @abstractmethod
    def keep(self) -> None:
        """Remember the database as it is now."""

    @abstractmethod
    def restore(self) -> None:
        """Make the database as it was when it was kept."""

    @abstractmethod
    def drop(self) -> None:
        """Remove it."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return how contenders find it."""

    def settle(self) -> None:  # noqa: B027  # not all have something to do
        """Do what a database does by itself some time after many rows came."""

    def usage(self) -> Usage:
        """Return the processor time of the server's processes that serve this database."""
        return {}

    def requests(self) -> int | None:
        """Return how many requests were served."""
        return None


class Server(Store):
    """A database on a server, as `scripts/services` starts it."""

    port: int

    def __init__(self) -> None:
        prefix = f"OFFLOAD_{self.name.upper()}_"
        self.host = os.environ.get(f"{prefix}HOST", "127.0.0.1")
        self.port = int(os.environ.get(f"{prefix}PORT", self.port))
        self.user = os.environ.get(f"{prefix}USER", "offload")
        self.password = os.environ.get(f"{prefix}PASSWORD", "offload")

    def environment(self) -> dict[str, str]:
        return {
            "BENCH_STORE": self.name,
            "BENCH_DATABASE": NAME,
            "BENCH_HOST": self.host,
            "BENCH_PORT": str(self.port),
            "BENCH_USER": self.user,
            "BENCH_PASSWORD": self.password,
        }

    def _process(self) -> Usage:
        """Return the processor time of the server that listens at our port, if it is here."""
        try:
            listeners = psutil.net_connections("tcp")
        except psutil.AccessDenied:
            return {}
        pids = {c.pid for c in listeners if c.status == "LISTEN" and c.laddr.port == self.port}
        return processor_seconds(pid for pid in pids if pid)
