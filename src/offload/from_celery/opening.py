"""Opens the broker of a project: Redis or RabbitMQ, by Kombu, which is a part of Celery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from offload.from_celery.brokers import Broker, BrokerUnavailable
from offload.from_celery.rabbitmq import RabbitBroker
from offload.from_celery.redis_queues import RedisBroker
from offload.from_celery.settings import without_password

PING_SECONDS = 2.0
"""How long Celery's workers have to answer."""
CONNECT_SECONDS = 5.0


@contextmanager
def open_broker(url: str, settings: Mapping[str, Any]) -> Iterator[tuple[Any, Broker]]:
    """Open the connection of a broker; yield it, and the broker.

    Args:
        url: its URL.
        settings: `broker_transport_options` and `broker_use_ssl`, if the project has them.

    Raises:
        BrokerUnavailable: if it is another kind of broker, or does not answer.
    """
    shown = without_password(url)
    scheme = url.partition(":")[0]
    kind = _KINDS.get(scheme)
    if kind is None:
        raise BrokerUnavailable(
            f"The broker {shown} is neither Redis nor RabbitMQ. Let Celery's workers finish its "
            "messages."
        )
    try:
        kombu = import_module("kombu")
        import_module(_CLIENTS[kind])  # without which Kombu raises what says nothing
    except ImportError as error:
        raise BrokerUnavailable(
            f"The messages of {shown} cannot be read: {error}. Install Celery again until they are "
            "carried: pip install celery, or 'celery[redis]' for Redis."
        ) from error
    connection = kombu.Connection(
        url,
        ssl=settings.get("broker_use_ssl") or False,
        transport_options=_options(kind, settings),
        connect_timeout=CONNECT_SECONDS,
    )
    with connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
            broker: Broker = kind(connection)
        except (kombu.exceptions.OperationalError, *connection.connection_errors) as error:
            raise BrokerUnavailable(f"The broker {shown} does not answer: {error}") from error
        yield connection, broker


def answering_workers(connection: Any, exchange: str) -> list[str]:
    """Return the names of Celery's workers that answer a ping.

    Args:
        connection: of Kombu.
        exchange: the setting `control_exchange`.
    """
    mailbox = import_module("kombu.pidbox").Mailbox(exchange, type="fanout", accept=["json"])
    replies = mailbox(connection).multi_call("ping", timeout=PING_SECONDS)
    return sorted(name for reply in replies or () for name in reply)


def _options(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(settings.get("broker_transport_options") or {})
    if kind is RedisBroker:
        options.setdefault("socket_connect_timeout", CONNECT_SECONDS)
    return options


_KINDS: dict[str, type[RabbitBroker | RedisBroker]] = {
    "amqp": RabbitBroker,
    "amqps": RabbitBroker,
    "pyamqp": RabbitBroker,
    "redis": RedisBroker,
    "rediss": RedisBroker,
    "sentinel": RedisBroker,
}
"""The kind of a broker by the scheme of its URL."""
_CLIENTS = {RabbitBroker: "amqp", RedisBroker: "redis"}
"""The library that Kombu needs for a kind of broker."""
