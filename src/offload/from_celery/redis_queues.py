"""Messages in Redis, where Kombu keeps each queue as lists, one for each priority.

A message is claimed by moving it, in one step, into a list of our own. So neither a worker of
Celery's nor another run of the command gets it, and a run that was killed leaves it there for the
next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from offload.from_celery.brokers import message_of
from offload.from_celery.messages import Message

PAGE = 500
"""Messages that are read at once."""
CLAIMED = "offload_from_celery:"
"""What precedes the keys of our own lists."""
BINDINGS = "_kombu.binding."
MOVE = (
    "if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end "
    "redis.call('RPUSH', KEYS[2], ARGV[1]) return 1"
)
"""Moves a message from one list to the end of another from which messages are taken."""
MOVE_HELD = (
    "if redis.call('HDEL', KEYS[1], ARGV[2]) == 0 then return 0 end "
    "redis.call('ZREM', KEYS[2], ARGV[2]) "
    "redis.call('RPUSH', KEYS[3], ARGV[1]) return 1"
)
"""Moves a message that a worker holds to the end of a list."""


class RedisBroker:
    """The queues of a Redis database.

    Args:
        connection: of Kombu.
    """

    is_redis = True

    def __init__(self, connection: Any) -> None:
        self.channel = connection.default_channel
        redis = import_module("redis")
        # Kombu's client adds the prefix to the keys of some commands only.
        self.client: Any = redis.Redis(connection_pool=self.channel.pool)
        self.prefix = str(self.channel.global_keyprefix or "")

    def queue(self, name: str) -> RedisQueue | None:
        """Return a queue; one without messages is none to Redis, too."""
        return RedisQueue(self, name)

    def other_queues(self, names: set[str]) -> dict[str, int]:
        """Return the messages of the queues that Kombu has declared in this database."""
        found: set[str] = set()
        for key in self.client.scan_iter(match=f"{self.prefix}{BINDINGS}*", count=1000):
            for member in self.client.smembers(key):
                found.add(member.decode().split(self.channel.sep)[-1])
        counts = {name: RedisQueue(self, name).waiting for name in sorted(found - names)}
        hidden = ("celeryev", "celery.pidbox")
        return {
            name: count
            for name, count in counts.items()
            if count and not name.startswith(hidden) and not name.endswith(".pidbox")
        }

    def message(self, payload: bytes) -> Message:
        """Return the message of what Redis has stored."""
        try:
            return message_of(self.channel.Message(json.loads(payload), channel=self.channel))
        except (ValueError, KeyError, TypeError, AttributeError):
            return Message(payload, "no message of Kombu's", {}, {})


class RedisQueue:
    """A queue: lists from whose ends workers take messages.

    Args:
        broker: of the queue.
        name: its name.
    """

    can_peek = True
    consumers = 0  # Redis does not tell

    def __init__(self, broker: RedisBroker, name: str) -> None:
        self._broker = broker
        self._client = broker.client
        self.name = name
        steps = broker.channel.priority_steps
        keys = (broker.channel._q_for_pri(name, step) for step in steps)  # noqa: SLF001
        self._keys = [broker.prefix + key for key in dict.fromkeys(keys)]

    @property
    def waiting(self) -> int:
        """The messages that wait, also those that a killed run has claimed."""
        lists = [*self._keys, *map(self._claimed, self._keys)]
        return sum(int(self._client.llen(key)) for key in lists)

    @property
    def held(self) -> int:
        """The messages that workers hold."""
        return sum(1 for _ in self._held())

    def deliveries(self, *, held: bool) -> Iterator[RedisDelivery]:
        """Yield the messages; first those that a killed run has claimed."""
        for key in self._keys:
            for payload in reversed(self._client.lrange(self._claimed(key), 0, -1)):
                yield self._delivery(payload, key, is_claimed=True)
        for key in self._keys:
            yield from self._waiting_in(key)
        if held:
            for tag, payload in self._held():
                yield self._delivery(payload, self._keys[0], tag=tag)

    def _waiting_in(self, key: str) -> Iterator[RedisDelivery]:
        """Yield the messages of a list that it has now, a page at a time, from its end on."""
        remaining, kept = int(self._client.llen(key)), 0
        while remaining > 0:
            page = self._client.lrange(key, -kept - min(PAGE, remaining), -kept - 1)
            if not page:
                return
            for payload in reversed(page):
                delivery = self._delivery(payload, key)
                yield delivery
                kept += not delivery.is_gone
            remaining -= len(page)

    def _held(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the tag and the payload of each message of this queue that a worker holds."""
        channel = self._broker.channel
        key = self._broker.prefix + channel.unacked_key
        for tag, stored in self._client.hscan_iter(key, count=PAGE):
            payload, exchange, routing_key = json.loads(stored)
            queues = channel._lookup(exchange, routing_key) if exchange else [routing_key]  # noqa: SLF001
            if self.name in queues:
                yield tag, json.dumps(payload).encode()

    def _delivery(
        self, payload: bytes, key: str, *, is_claimed: bool = False, tag: bytes = b""
    ) -> RedisDelivery:
        place = Place(self._client, self.name, key, self._claimed(key), self._unacked)
        return RedisDelivery(self._broker.message(payload), payload, place, tag, is_claimed)

    def _claimed(self, key: str) -> str:
        prefix = self._broker.prefix
        return f"{prefix}{CLAIMED}{key.removeprefix(prefix)}"

    @property
    def _unacked(self) -> tuple[str, str]:
        channel, prefix = self._broker.channel, self._broker.prefix
        return prefix + channel.unacked_key, prefix + channel.unacked_index_key


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is.

    Attributes:
        client: of Redis.
        queue: the name of its queue.
        key: the list of its queue.
        claimed: our own list.
        unacked: the keys of the messages that workers hold.
    """

    client: Any
    queue: str
    key: str
    claimed: str
    unacked: tuple[str, str]


@dataclass(slots=True)
class RedisDelivery:
    """A message.

    Attributes:
        message: what it says.
        payload: as Redis has it.
        place: where it is.
        tag: its name among the messages that workers hold; empty if none holds it.
        is_claimed: whether it is in our own list.
        is_gone: whether it is in its queue no more.
    """

    message: Message
    payload: bytes
    place: Place
    tag: bytes = b""
    is_claimed: bool = False
    is_gone: bool = False

    @property
    def queue(self) -> str:
        """The queue that it is for."""
        return self.place.queue

    def claim(self) -> bool:
        """Move it into our own list; return False if another has got it."""
        if self.is_claimed:
            return True
        place = self.place
        if self.tag:
            keys = (*place.unacked, place.claimed)
            moved = place.client.eval(MOVE_HELD, len(keys), *keys, self.payload, self.tag)
        else:
            moved = place.client.eval(MOVE, 2, place.key, place.claimed, self.payload)
        self.is_gone = True
        self.is_claimed = bool(moved)
        return self.is_claimed

    def done(self) -> None:
        """Delete it from our own list."""
        self.place.client.lrem(self.place.claimed, 1, self.payload)

    def put_back(self) -> None:
        """Move it back into its queue, if it was claimed."""
        if self.is_claimed:
            place = self.place
            place.client.eval(MOVE, 2, place.claimed, place.key, self.payload)
            self.is_claimed = self.is_gone = False
