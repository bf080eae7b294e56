"""Ending all streams of a process together."""

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


class Stream:
    def __init__(self, *sessions: str) -> None:
        self.sessions = set(sessions)
        self.reasons: list[str] = []
        self.ended = asyncio.Event()

    def close(self, reason: str) -> None:
        self.reasons.append(reason)
        self.ended.set()


@pytest.fixture
def told() -> Iterator[list[int]]:
    """Stand where a server does: its own handler notes what it is told."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    interrupt = signal.getsignal(signal.SIGINT)
    yield numbers
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, interrupt)


def test_the_signal_ends_all_streams_and_reaches_the_server(told):
    async def body() -> None:
        streams, one, two = OpenConnections(), Stream(), Stream()
        streams.add(one)
        streams.add(two)
        os.kill(os.getpid(), signal.SIGTERM)
        for stream in (one, two):
            await asyncio.wait_for(stream.ended.wait(), 20)
            assert stream.reasons == ["shutdown"]

    asyncio.run(body())
    assert told == [signal.SIGTERM]


def test_who_comes_while_the_server_waits_is_sent_away(told):
    async def body() -> None:
        streams, late = OpenConnections(), Stream()
        streams.add(Stream())
        os.kill(os.getpid(), signal.SIGTERM)
        streams.add(late)
        assert late.reasons == ["shutdown"]

        streams.open()
        again = Stream()
        streams.add(again)
        assert again.reasons == []

    asyncio.run(body())


def test_a_server_that_leaves_the_signal_to_the_system_keeps_it():
    async def body() -> None:
        OpenConnections().add(Stream())

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(body())
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


@pytest.mark.django_db(transaction=True)
def test_signing_out_ends_the_streams_of_that_session_only(told, monkeypatch):
    monkeypatch.setattr("offload.live.open_connections.SIGN_OUT_DELAY_SECONDS", 0.01)

    class Request:
        session: Any = type("Session", (), {"session_key": "mine"})()

    def sign_out() -> None:
        user_logged_out.send(type(None), request=Request(), user=None)
        connections.close_all()

    async def body() -> None:
        mine, anothers = Stream("mine"), Stream("another's")
        for stream in (mine, anothers):
            open_connections.add(stream)
        await sync_to_async(sign_out)()
        await asyncio.wait_for(mine.ended.wait(), 20)
        assert mine.reasons == ["lifetime"]
        assert anothers.reasons == []
        for stream in (mine, anothers):
            open_connections.discard(stream)

    asyncio.run(body())


def test_a_stream_whose_loop_was_closed_harms_no_other(told):
    streams, gone, there = OpenConnections(), Stream(), Stream()

    async def add(stream: Stream) -> None:
        streams.add(stream)

    async def body() -> None:
        streams.add(there)
        streams.close_all()
        await asyncio.wait_for(there.ended.wait(), 20)

    asyncio.run(add(gone))
    asyncio.run(body())
    assert there.reasons == ["shutdown"]
    assert gone.reasons == []
