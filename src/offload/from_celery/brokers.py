"""What brokers have in common: queues, and messages that wait in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from offload.from_celery.messages import Message


class BrokerUnavailable(Exception):
    """Raised if the messages of a broker cannot be read; its text says why."""


class Delivery(Protocol):
    """A message that the broker has shown, and that waits there until it is done."""

    message: Message

    @property
    def queue(self) -> str:
        """The queue that it is for."""

    def claim(self) -> bool:
        """Keep all others from getting it; return False if another has got it."""

    def done(self) -> None:
        """Delete it from the broker."""

    def put_back(self) -> None:
        """Leave it in its queue, if it was claimed."""


class Queue(Protocol):
    """A queue of the broker."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def waiting(self) -> int:
        """The messages that wait in it."""

    @property
    def held(self) -> int:
        """The messages that workers have got and not acknowledged; 0 if that is not known."""

    @property
    def consumers(self) -> int:
        """The workers that would get its messages; 0 if that is not known."""

    @property
    def can_peek(self) -> bool:
        """Whether its messages can be read without taking them."""

    def deliveries(self, *, held: bool) -> Iterator[Delivery]:
        """Yield its messages, the most urgent and oldest first.

        Args:
            held: those that workers hold, too.
        """


class Broker(Protocol):
    """A connection to a broker."""

    @property
    def is_redis(self) -> bool:
        """Whether it is Redis."""

    def queue(self, name: str) -> Queue | None:
        """Return a queue; None if the broker does not have it."""

    def other_queues(self, names: set[str]) -> dict[str, int]:
        """Return the messages of queues that are not among these, as far as it tells."""


def message_of(message: Any) -> Message:
    """Return a message of Kombu's."""
    if message.errors:  # of the decompression
        return Message(b"", "compressed in a way that is unknown", message.headers, {})
    body = message.body or b""
    return Message(
        body.encode() if isinstance(body, str) else bytes(body),
        str(message.content_type),
        message.headers,
        message.properties,
    )
