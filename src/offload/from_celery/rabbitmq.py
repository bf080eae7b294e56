"""Messages in RabbitMQ, which gives them back if they were not acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from offload.from_celery.brokers import message_of
from offload.from_celery.messages import Message

DELAYED = "celery_delayed_"
"""What precedes the names of the queues in which Celery delays messages for quorum queues."""
DELAYED_LEVELS = 28
"""How many there are, for delays of so many bits of seconds."""


class RabbitBroker:
    """The queues of a virtual host.

    Args:
        connection: of Kombu.
    """

    is_redis = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def queue(self, name: str) -> RabbitQueue | None:
        """Return a queue; None if the virtual host does not have it."""
        channel = self._connection.channel()
        try:
            found = channel.queue_declare(name, passive=True)
        except self._connection.channel_errors:  # which closes the channel
            return None
        return RabbitQueue(channel, name, found.message_count, found.consumer_count)

    def other_queues(self, names: set[str]) -> dict[str, int]:
        """Return the messages of the queues in which Celery delays messages for quorum queues.

        AMQP does not tell which other queues there are.
        """
        if self.queue(f"{DELAYED}0") is None:  # there are all of them, or none
            return {}
        levels = (f"{DELAYED}{level}" for level in range(DELAYED_LEVELS))
        found = [self.queue(name) for name in levels if name not in names]
        return {queue.name: queue.waiting for queue in found if queue is not None and queue.waiting}


class RabbitQueue:
    """A queue.

    Args:
        channel: of the connection, of this queue alone: when it is closed, the broker puts back
            what it has given and nobody has acknowledged.
        name: of the queue.
        waiting: how many messages wait in it.
        consumers: how many workers take messages from it.
    """

    can_peek = False
    held = 0  # AMQP does not tell

    def __init__(self, channel: Any, name: str, waiting: int, consumers: int) -> None:
        self._channel = channel
        self.name = name
        self.waiting = waiting
        self.consumers = consumers

    def deliveries(self, *, held: bool) -> Iterator[RabbitDelivery]:  # noqa: ARG002
        """Take the messages one after the other; the broker keeps those that are not done."""
        try:
            for _ in range(self.waiting):
                raw = self._channel.basic_get(self.name, no_ack=False)
                if raw is None:
                    break
                message = self._channel.message_to_python(raw)
                yield RabbitDelivery(message_of(message), message, self._queue_of(message))
        finally:
            self._channel.close()

    def _queue_of(self, message: Any) -> str:
        """Return the queue that a message is for: a delayed one has it in its routing key."""
        if not self.name.startswith(DELAYED):
            return self.name
        return str(message.delivery_info["routing_key"].split(".", DELAYED_LEVELS)[-1])


@dataclass(slots=True)
class RabbitDelivery:
    """A message that the broker gives to nobody else as long as the channel is open.

    Attributes:
        message: what it says.
        taken: the message of Kombu's.
        queue: the queue that it is for.
    """

    message: Message
    taken: Any
    queue: str

    def claim(self) -> bool:
        """Return True: nobody else gets it."""
        return True

    def done(self) -> None:
        """Acknowledge it, which deletes it."""
        self.taken.ack()

    def put_back(self) -> None:
        """Leave it unacknowledged: the broker puts it back to its place when the channel closes."""
