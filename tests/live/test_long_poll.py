"""Requests that are held until there is news, under ASGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections
from django.test import AsyncClient

from offload.live.connection_limits import ConnectionLimits
from offload.live.long_poll import requested_wait
from offload.live.open_connections import open_connections
from offload.store import get_store
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.jobs import claim, register
from tests.live.clients import JSON, is_private, start_job, user_client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("respond-async, wait=5", 5),
        ('wait="5"; x=1', 5),
        ("WAIT = 5", 5),
        ("wait=600", 20),
        ("", 0),
        ("wait", 0),
        ("wait=-5", 0),
        ("wait=5x", 0),
        ("await=5", 0),
        ("wait=99999999999999999999", 0),
    ],
)
def test_how_long_a_request_wants_to_be_held(prefer, seconds, async_rf, rf):
    assert requested_wait(async_rf.get("/", headers={"Prefer": prefer})) == seconds
    assert requested_wait(rf.get("/", headers={"Prefer": prefer})) == 0


class Page:
    """What a page does, under ASGI."""

    def __init__(self, identifier: str, user: User) -> None:
        self.url = f"/tasks/{identifier}/"
        self.user = user
        self.known = ""

    async def ask(self, seconds: int) -> Any:
        client = AsyncClient(headers=JSON)
        await client.aforce_login(self.user)
        headers = {"Prefer": f"wait={seconds}", "If-None-Match": self.known}
        answer = await client.get(self.url, headers=headers)
        self.known = answer.headers.get("ETag", "")
        return answer


@pytest.fixture
def page(transactional_db: None, watched: None) -> Page:
    client = user_client()
    return Page(start_job(client), client.user)  # type: ignore[attr-defined]


@pytest.fixture
def one_seat(monkeypatch):
    """One user_client has one seat, and there is one: the seats."""
    seats = ConnectionLimits(1, 1)
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: seats)
    return seats


class WatchedSeats(ConnectionLimits):
    """ConnectionLimits that tell when one is taken."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.taken = threading.Event()

    def acquire(self, holder: str) -> None:
        super().acquire(holder)
        self.taken.set()


def test_a_held_request_is_answered_as_soon_as_there_is_news(page, monkeypatch):
    seats = WatchedSeats()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: seats)

    def claim_when_held() -> None:
        assert seats.taken.wait(10)
        claim(register())

    async def scene() -> Any:
        await page.ask(0)
        asking = asyncio.create_task(page.ask(20))
        await asyncio.to_thread(in_thread, claim_when_held)
        return await asyncio.wait_for(asking, 10)

    answer = play(scene())

    assert (answer.status_code, answer.json()["phase"]) == (200, "running")
    assert answer.headers["Preference-Applied"] == "wait=20"


def test_a_held_request_is_answered_when_the_server_is_told_to_stop(page, monkeypatch):
    seats = WatchedSeats()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: seats)

    async def scene() -> Any:
        await page.ask(0)
        asking = asyncio.create_task(page.ask(20))
        await asyncio.to_thread(seats.taken.wait, 10)
        open_connections.close_all()
        return await asyncio.wait_for(asking, 10)

    assert play(scene()).status_code == 304
    assert len(open_connections) == 0


def play(scene: Coroutine[Any, Any, Any]) -> Any:
    """Run a scene; the thread in which its requests used the database leaves no connection."""

    async def whole() -> Any:
        try:
            return await scene
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(whole())


def in_thread(action: Any) -> None:
    """Do something in a thread of its own, which leaves no connection."""
    try:
        action()
    finally:
        connection.close()


def test_a_held_request_is_told_that_there_was_no_news(page):
    async def scene() -> Any:
        await page.ask(0)
        return await page.ask(1)

    answer = play(scene())

    assert answer.status_code == 304
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_who_does_not_know_the_newest_state_is_told_at_once(page, one_seat):
    async def scene() -> list[Any]:
        with one_seat.acquired_by("somebody"):  # so that being held would be refused
            first = await page.ask(20)
            page.known = 'W/"old"'
            second = await page.ask(20)
        return [first, second]

    answers = play(scene())

    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("Preference-Applied" not in answer.headers for answer in answers)


def test_so_is_who_asks_for_a_job_that_has_ended_or_is_not_his(page, one_seat):
    async def scene() -> list[int]:
        await page.ask(0)
        await asyncio.to_thread(in_thread, run_jobs)
        page.known = ""
        await page.ask(0)
        with one_seat.acquired_by("somebody"):
            ended = await page.ask(20)
            page.url, page.known = f"/tasks/{new_id()}/", "*"
            unknown = await page.ask(20)
        return [ended.status_code, unknown.status_code]

    assert play(scene()) == [304, 404]


def test_a_database_that_does_not_answer_is_told_at_once(page, one_seat, monkeypatch):
    def find(*_: Any) -> None:
        raise DatabaseError("no such table: offload_job")

    async def scene() -> Any:
        await page.ask(0)
        monkeypatch.setattr(get_store("default"), "find", find)
        return await page.ask(20)

    assert play(scene()).status_code == 503


def test_too_many_held_requests_are_refused(page, monkeypatch):
    async def scene(seats: ConnectionLimits, *holders: str) -> Any:
        monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: seats)
        page.known = ""
        await page.ask(0)
        for each in holders:
            seats.acquire(each)
        return await page.ask(20)

    own = play(scene(ConnectionLimits(2, 10), *[f"user:{page.user.pk}"] * 2))
    all_taken = play(scene(ConnectionLimits(2, 2), "user:x", "user:y"))

    assert own.status_code == 429
    assert all_taken.status_code == 503
    for answer in (own, all_taken):
        assert 5 <= int(answer.headers["Retry-After"]) <= 15
        assert is_private(answer)


def test_who_is_refused_keeps_the_cookie_of_the_session(page, monkeypatch):
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: ConnectionLimits(1, 0))
    identifier = start_job(user_client("ben"), "for_all")

    async def scene() -> Any:
        client = AsyncClient(headers=JSON)
        client.cookies["sessionid"] = "ended"
        first = await client.get(f"/tasks/{identifier}/")
        headers = {"Prefer": "wait=20", "If-None-Match": first.headers["ETag"]}
        client.cookies["sessionid"] = "ended"
        return await client.get(f"/tasks/{identifier}/", headers=headers)

    answer = play(scene())

    assert answer.status_code == 503
    assert not answer.cookies


def test_a_held_request_frees_its_seat_and_holds_no_connection(page, monkeypatch):
    seats = WatchedSeats()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: seats)

    async def scene() -> tuple[bool, list[int]]:
        await page.ask(0)
        asking = asyncio.create_task(page.ask(2))
        await asyncio.to_thread(seats.taken.wait, 10)
        is_open = await sync_to_async(lambda: connection.connection is not None)()
        first = await asking
        second = await page.ask(1)  # the only seat is free again
        return is_open, [first.status_code, second.status_code]

    assert play(scene()) == (False, [304, 304])
