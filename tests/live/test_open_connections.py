"""Closing all open connections of a process at a shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.signals import user_logged_out
from django.db import connections

from offload.live.open_connections import OpenConnections, open_connections


class FakeConnection:
    def __init__(self, *sessions: str) -> None:
        self.sessions = set(sessions)
        self.reasons: list[str] = []
        self.closed = asyncio.Event()

    def close(self, reason: str) -> None:
        self.reasons.append(reason)
        self.closed.set()


@pytest.fixture
def received() -> Iterator[list[int]]:
    """Install the handler of a server, which records the signals that it receives."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    interrupt = signal.getsignal(signal.SIGINT)
    yield numbers
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, interrupt)


def test_a_signal_closes_all_connections_and_reaches_the_server(received):
    async def scenario() -> None:
        registry, one, two = OpenConnections(), FakeConnection(), FakeConnection()
        registry.add(one)
        registry.add(two)
        os.kill(os.getpid(), signal.SIGTERM)
        for connection in (one, two):
            await asyncio.wait_for(connection.closed.wait(), 20)
            assert connection.reasons == ["shutdown"]

    asyncio.run(scenario())
    assert received == [signal.SIGTERM]


def test_a_connection_that_opens_during_the_shutdown_is_closed(received):
    async def scenario() -> None:
        registry, late = OpenConnections(), FakeConnection()
        registry.add(FakeConnection())
        os.kill(os.getpid(), signal.SIGTERM)
        registry.add(late)
        assert late.reasons == ["shutdown"]

        registry.open()
        again = FakeConnection()
        registry.add(again)
        assert again.reasons == []

    asyncio.run(scenario())


def test_the_default_action_of_a_signal_is_not_replaced():
    async def scenario() -> None:
        OpenConnections().add(FakeConnection())

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(scenario())
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


@pytest.mark.django_db(transaction=True)
def test_signing_out_closes_the_connections_of_that_session_only(received, monkeypatch):
    monkeypatch.setattr("offload.live.open_connections.SIGN_OUT_DELAY_SECONDS", 0.01)

    class Request:
        session: Any = type("Session", (), {"session_key": "mine"})()

    def sign_out() -> None:
        user_logged_out.send(type(None), request=Request(), user=None)
        connections.close_all()

    async def scenario() -> None:
        own, other = FakeConnection("mine"), FakeConnection("other")
        for connection in (own, other):
            open_connections.add(connection)
        await sync_to_async(sign_out)()
        await asyncio.wait_for(own.closed.wait(), 20)
        assert own.reasons == ["lifetime"]
        assert other.reasons == []
        for connection in (own, other):
            open_connections.discard(connection)

    asyncio.run(scenario())


def test_a_connection_with_a_closed_event_loop_is_skipped(received):
    registry, closed_loop, open_loop = OpenConnections(), FakeConnection(), FakeConnection()

    async def add(connection: FakeConnection) -> None:
        registry.add(connection)

    async def scenario() -> None:
        registry.add(open_loop)
        registry.close_all()
        await asyncio.wait_for(open_loop.closed.wait(), 20)

    asyncio.run(add(closed_loop))
    asyncio.run(scenario())
    assert open_loop.reasons == ["shutdown"]
    assert closed_loop.reasons == []
