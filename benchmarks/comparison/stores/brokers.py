"""A PostgreSQL database for rows and results, and a broker for messages."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kombu import Connection

from comparison.resource_usage import CpuTimes
from comparison.stores.base import listener_cpu
from comparison.stores.postgresql import PostgreSQL
from comparison.stores.redis import Redis


class PostgreSQLWithRedis(PostgreSQL):
    """Messages in Redis, where Celery may also store results."""

    def __init__(self) -> None:
        super().__init__()
        self._redis = Redis()

    def restore(self) -> None:
        super().restore()
        self._redis.flush()

    def drop(self) -> None:
        super().drop()
        self._redis.flush()

    def environment(self) -> dict[str, str]:
        redis = self._redis.environment()
        urls = {name: redis[name] for name in ("BENCH_URL", "BENCH_RESULTS_URL")}
        return {**super().environment(), **urls}

    def server_cpu(self) -> CpuTimes:
        return {**super().server_cpu(), **self._redis.server_cpu()}


class PostgreSQLWithRabbitMQ(PostgreSQLWithRedis):
    """Messages in RabbitMQ; Celery may store results in Redis."""

    QUEUES = ("offload-bench", "offload-bench-default")

    def __init__(self) -> None:
        super().__init__()
        self._broker = RabbitMQ()

    def restore(self) -> None:
        super().restore()
        self._broker.delete_queues(self.QUEUES)

    def drop(self) -> None:
        super().drop()
        self._broker.delete_queues(self.QUEUES)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "BENCH_URL": self._broker.url}

    def server_cpu(self) -> CpuTimes:
        return {**super().server_cpu(), **self._broker.server_cpu()}


class RabbitMQ:
    """The server that `scripts/services rabbitmq` starts."""

    def __init__(self) -> None:
        host = os.environ.get("OFFLOAD_RABBITMQ_HOST", "127.0.0.1")
        self._port = int(os.environ.get("OFFLOAD_RABBITMQ_PORT", "56729"))
        user = os.environ.get("OFFLOAD_RABBITMQ_USER", "guest")
        password = os.environ.get("OFFLOAD_RABBITMQ_PASSWORD", "guest")
        self.url = f"amqp://{user}:{password}@{host}:{self._port}//"

    def delete_queues(self, names: Iterable[str]) -> None:
        """Delete queues with their messages."""
        with Connection(self.url) as connection:
            for name in names:
                connection.default_channel.queue_delete(name)

    def server_cpu(self) -> CpuTimes:
        return listener_cpu(self._port)
