"""The interface of all stores."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

import psutil

from comparison.resource_usage import CpuTimes, cpu_times

NAME = f"offload_bench_{os.getpid()}"
TEMPLATE = f"{NAME}_template"


class Store(ABC):
    """One database, created for one run of the benchmark."""

    name: str

    @abstractmethod
    def create(self) -> None:
        """Create an empty database; drop the existing one."""

    @abstractmethod
    def save(self) -> None:
        """Save the current content of the database for `restore`."""

    @abstractmethod
    def restore(self) -> None:
        """Restore the saved content."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the database and its saved content."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment variables that contain its address."""

    def run_maintenance(self) -> None:  # noqa: B027  # optional
        """Run now what the database would run automatically after many inserts."""

    def server_cpu(self) -> CpuTimes:
        """Return the CPU time of the server processes that serve this database."""
        return {}

    def requests(self) -> int | None:
        """Return the number of requests that were served, or None if they are not counted."""
        return None


class Server(Store):
    """A database on a server that `scripts/services` starts."""

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


def listener_cpu(port: int) -> CpuTimes:
    """Return the CPU time of the server on a port, if it runs on this machine."""
    try:
        listeners = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return {}
    pids = {c.pid for c in listeners if c.status == "LISTEN" and c.laddr.port == port}
    return cpu_times(pid for pid in pids if pid)
