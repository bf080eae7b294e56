"""Brokers that a project's Celery has filled, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.crash.fleet import require_broker
from tests.from_celery.brokers import FilledBroker, rabbitmq_broker, redis_broker

type Run = Callable[..., dict[str, Any]]
"""Runs the command with --json; returns what it printed, and its exit code as "code"."""


@pytest.fixture
def redis(settings: Any) -> Iterator[FilledBroker]:
    require_broker("redis")
    yield from _opened(redis_broker(), settings)


@pytest.fixture
def rabbitmq(settings: Any) -> Iterator[FilledBroker]:
    require_broker("rabbitmq")
    yield from _opened(rabbitmq_broker(), settings)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> FilledBroker:
    found: FilledBroker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def run() -> Run:
    return run_command


def _opened(broker: FilledBroker, settings: Any) -> Iterator[FilledBroker]:
    for name, value in broker.settings.items():
        setattr(settings, name, value)
    queues = ["default", "mail", broker.queue]
    settings.TASKS = {"default": {**settings.TASKS["default"], "QUEUES": queues}}
    yield broker
    broker.close()


def run_command(*args: str) -> dict[str, Any]:
    output = StringIO()
    code = 0
    try:
        call_command("offload_from_celery", "--json", *args, stdout=output)
    except SystemExit as error:
        code = int(str(error.code))
    document: dict[str, Any] = json.loads(output.getvalue())
    return document | {"code": code}
