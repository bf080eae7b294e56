"""Brokers of a run: each has its own ports on loopback and its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import redis
from kombu import Connection

START_SECONDS = 120


class Broker(ABC):
    """A server that keeps its messages on disk, as both do by default.

    Args:
        folder: of its data and its log.
    """

    name: str
    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; return once it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, **self._environment()},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > give_up_at or self._process.poll() is not None:
                raise RuntimeError(f"{self.name} did not start: see {self.folder}/output")
            time.sleep(0.1)  # noqa: TID251

    def stop(self) -> None:
        """End the server as an operator does; it keeps its messages."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """End the server for good."""
        self.stop()

    @abstractmethod
    def empty(self, queue: str) -> None:
        """Remove all messages that wait."""

    @abstractmethod
    def count(self, queue: str) -> int:
        """Return how many messages it still has, also those that nobody has acknowledged."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that starts the server."""

    def _environment(self) -> dict[str, str]:
        return {}

    def _answers(self) -> bool:
        with suppress(Exception), Connection(self.url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            return True
        return False


class Redis(Broker):
    """A Redis server with its default settings."""

    name = "Redis"

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"redis://127.0.0.1:{self.port}/0"

    def empty(self, queue: str) -> None:  # noqa: ARG002  # what an operator does by mistake
        with closing(redis.Redis.from_url(self.url)) as client:
            client.flushall()

    def count(self, queue: str) -> int:
        with closing(redis.Redis.from_url(self.url)) as client:
            waiting: Any = [client.llen(name) for name in client.keys(f"{queue}*")]
            unacknowledged: Any = client.hlen("unacked")
            return int(sum(waiting) + unacknowledged)

    def _command(self) -> list[str]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [shutil.which("redis-server") or "redis-server", *options]


class RabbitMQ(Broker):
    """A RabbitMQ server with its default settings."""

    name = "RabbitMQ"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._distribution_port, self._names_port = free_port(), free_port()

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def close(self) -> None:
        super().close()
        # It started a server for the names of its nodes, on a port of its own.
        command = ["epmd", "-port", str(self._names_port), "-kill"]
        subprocess.run(command, capture_output=True, check=False)

    def empty(self, queue: str) -> None:
        with Connection(self.url) as connection:
            connection.default_channel.queue_purge(queue)

    def count(self, queue: str) -> int:
        with Connection(self.url) as connection:
            return int(connection.default_channel.queue_declare(queue, passive=True)[1])

    def _command(self) -> list[str]:
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": f"kills{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
        }


def free_port() -> int:
    """Return a port on loopback that no server uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
