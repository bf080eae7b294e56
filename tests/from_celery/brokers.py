"""The brokers of the tests, as a project's Celery has filled them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

from celery import Celery
from kombu import Connection, Exchange, Producer, Queue

from tests.celery_apps import RABBITMQ_URL, REDIS_URL

PATH = "tests.from_celery.tasks"


class FilledBroker:
    """A broker with queues of its own, and the app of Celery that sends messages to it.

    Args:
        url: its URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.run = f"offload-test-{uuid4().hex[:10]}-"
        self.is_redis = url.startswith("redis")
        self.queue = f"{self.run}celery"
        self.options = {"global_keyprefix": self.run} if self.is_redis else {}
        self.app = Celery("shop", broker=url, set_as_current=False)
        self.app.conf.update(
            broker_transport_options=self.options,
            task_default_queue=self.queue,
            task_queue_max_priority=None if self.is_redis else 9,
        )
        self.names = {self.queue}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a project with this broker."""
        return {
            "CELERY_BROKER_URL": self.url,
            "CELERY_BROKER_TRANSPORT_OPTIONS": self.options,
            "CELERY_TASK_DEFAULT_QUEUE": self.queue,
        }

    def send(self, name: str, *args: Any, task_id: str = "", **options: Any) -> str:
        """Send a message; return the id of its task."""
        self.names.add(options.get("queue", self.queue))
        task_id = task_id or str(uuid4())
        self.app.send_task(f"{PATH}.{name}" if "." not in name else name, args, task_id=task_id,
                           **options)  # fmt: skip
        return task_id

    def send_raw(self, body: bytes, content_type: str, **headers: Any) -> None:
        """Send a message as another program does."""
        with self.connection() as connection:
            self.app.amqp.queues[self.queue](connection.default_channel).declare()
            Producer(connection.default_channel).publish(
                body,
                routing_key=self.queue,
                content_type=content_type,
                content_encoding="binary",
                headers=headers,
            )

    def delay(self, names: list[str], bits: str) -> None:
        """Declare queues, and move the message that waits into the second of them.

        Its routing key is then that of a message that Celery delays for a quorum queue.
        """
        self.names.update(names)
        with self.connection() as connection:
            channel = connection.default_channel
            exchange = Exchange(f"{self.run}delayed", "topic", channel=channel, auto_delete=True)
            for name in names:
                Queue(name, exchange, "none", channel=channel, durable=True).declare()
            Queue(names[1], exchange, "#", channel=channel, durable=True).declare()
            message = channel.message_to_python(channel.basic_get(self.queue, no_ack=True))
            Producer(channel, exchange).publish(
                message.body,
                routing_key=f"{'.'.join(bits)}.{self.queue}",
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=message.headers,
            )

    def waiting(self, queue: str = "") -> int:
        """Return how many messages wait in a queue."""
        with self.connection() as connection:
            channel = connection.default_channel
            if self.is_redis:
                return int(channel._size(queue or self.queue))
            try:
                return int(channel.queue_declare(queue or self.queue, passive=True).message_count)
            except connection.channel_errors:
                return 0

    def bodies(self) -> Iterator[Any]:
        """Take all messages that wait, and yield their headers."""
        with self.connection() as connection:
            while message := connection.default_channel.basic_get(self.queue, no_ack=True):
                yield connection.default_channel.message_to_python(message).headers

    def connection(self) -> Connection:
        """Return a new connection."""
        return Connection(self.url, transport_options=self.options)

    def close(self) -> None:
        """Delete the queues."""
        with self.connection() as connection:
            channel = connection.default_channel
            for name in self.names:
                with suppress(*connection.channel_errors):
                    channel.queue_delete(name)
            if self.is_redis:
                client = connection.default_channel.client
                for key in list(client.scan_iter(match=f"{self.run}*", count=10_000)):
                    client.execute_command("UNLINK", key)
        self.app.close()


def redis_broker() -> FilledBroker:
    return FilledBroker(REDIS_URL)


def rabbitmq_broker() -> FilledBroker:
    return FilledBroker(RABBITMQ_URL)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
