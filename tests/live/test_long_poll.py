"""Long polling: requests that are held until a job changes, under ASGI."""

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
from tests.jobs import claim, register_worker
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
def test_the_requested_wait(prefer, seconds, async_rf, rf):
    assert requested_wait(async_rf.get("/", headers={"Prefer": prefer})) == seconds
    assert requested_wait(rf.get("/", headers={"Prefer": prefer})) == 0


class Page:
    """A page that polls one job under ASGI with the tag that it has."""

    def __init__(self, identifier: str, user: User) -> None:
        self.url = f"/tasks/{identifier}/"
        self.user = user
        self.tag = ""

    async def poll(self, seconds: int) -> Any:
        client = AsyncClient(headers=JSON)
        await client.aforce_login(self.user)
        headers = {"Prefer": f"wait={seconds}", "If-None-Match": self.tag}
        response = await client.get(self.url, headers=headers)
        self.tag = response.headers.get("ETag", "")
        return response


@pytest.fixture
def page(transactional_db: None, watched: None) -> Page:
    client = user_client()
    return Page(start_job(client), client.user)  # type: ignore[attr-defined]


@pytest.fixture
def one_slot(monkeypatch):
    """Allow one connection in all."""
    limits = ConnectionLimits(1, 1)
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)
    return limits


class ObservedLimits(ConnectionLimits):
    """Limits of one connection, with an event for its start."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.acquired = threading.Event()

    def acquire(self, holder: str) -> None:
        super().acquire(holder)
        self.acquired.set()


def test_a_held_request_is_answered_when_the_job_changes(page, monkeypatch):
    limits = ObservedLimits()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)

    def claim_when_held() -> None:
        assert limits.acquired.wait(10)
        claim(register_worker())

    async def scenario() -> Any:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(20))
        await asyncio.to_thread(in_thread, claim_when_held)
        return await asyncio.wait_for(polling, 10)

    response = run_scenario(scenario())

    assert (response.status_code, response.json()["phase"]) == (200, "running")
    assert response.headers["Preference-Applied"] == "wait=20"


def test_a_held_request_is_answered_when_the_server_shuts_down(page, monkeypatch):
    limits = ObservedLimits()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)

    async def scenario() -> Any:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(20))
        await asyncio.to_thread(limits.acquired.wait, 10)
        open_connections.close_all()
        return await asyncio.wait_for(polling, 10)

    assert run_scenario(scenario()).status_code == 304
    assert len(open_connections) == 0


def run_scenario(scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run a scenario, and close the connections of the thread in which its requests ran."""

    async def scenario_and_cleanup() -> Any:
        try:
            return await scenario
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(scenario_and_cleanup())


def in_thread(action: Any) -> None:
    """Call a function in its own thread, and close the connections of that thread."""
    try:
        action()
    finally:
        connection.close()


def test_a_held_request_is_answered_with_304_after_the_timeout(page):
    async def scenario() -> Any:
        await page.poll(0)
        return await page.poll(1)

    response = run_scenario(scenario())

    assert response.status_code == 304
    assert response.headers["Preference-Applied"] == "wait=1"


def test_a_request_with_an_older_version_is_answered_at_once(page, one_slot):
    async def scenario() -> list[Any]:
        with one_slot.acquired_by("user:other"):  # a held request would be refused
            first = await page.poll(20)
            page.tag = 'W/"old"'
            second = await page.poll(20)
        return [first, second]

    responses = run_scenario(scenario())

    assert [response.status_code for response in responses] == [200, 200]
    assert all("Preference-Applied" not in response.headers for response in responses)


def test_a_request_for_a_finished_or_unknown_job_is_answered_at_once(page, one_slot):
    async def scenario() -> list[int]:
        await page.poll(0)
        await asyncio.to_thread(in_thread, run_jobs)
        page.tag = ""
        await page.poll(0)
        with one_slot.acquired_by("user:other"):
            finished = await page.poll(20)
            page.url, page.tag = f"/tasks/{new_id()}/", "*"
            unknown = await page.poll(20)
        return [finished.status_code, unknown.status_code]

    assert run_scenario(scenario()) == [304, 404]


def test_a_database_error_is_answered_at_once(page, one_slot, monkeypatch):
    def find(*_: Any) -> None:
        raise DatabaseError("no such table: offload_job")

    async def scenario() -> Any:
        await page.poll(0)
        monkeypatch.setattr(get_store("default"), "find", find)
        return await page.poll(20)

    assert run_scenario(scenario()).status_code == 503


def test_too_many_held_requests_are_refused(page, monkeypatch):
    async def scenario(limits: ConnectionLimits, *holders: str) -> Any:
        monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)
        page.tag = ""
        await page.poll(0)
        for holder in holders:
            limits.acquire(holder)
        return await page.poll(20)

    own = run_scenario(scenario(ConnectionLimits(2, 10), *[f"user:{page.user.pk}"] * 2))
    all_taken = run_scenario(scenario(ConnectionLimits(2, 2), "user:x", "user:y"))

    assert own.status_code == 429
    assert all_taken.status_code == 503
    for response in (own, all_taken):
        assert 5 <= int(response.headers["Retry-After"]) <= 15
        assert is_private(response)


def test_a_refused_request_leaves_the_session_cookie_alone(page, monkeypatch):
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: ConnectionLimits(1, 0))
    identifier = start_job(user_client("ben"), "for_all")

    async def scenario() -> Any:
        client = AsyncClient(headers=JSON)
        client.cookies["sessionid"] = "expired"
        first = await client.get(f"/tasks/{identifier}/")
        headers = {"Prefer": "wait=20", "If-None-Match": first.headers["ETag"]}
        client.cookies["sessionid"] = "expired"
        return await client.get(f"/tasks/{identifier}/", headers=headers)

    response = run_scenario(scenario())

    assert response.status_code == 503
    assert not response.cookies


def test_a_held_request_holds_no_database_connection_and_releases_its_slot(page, monkeypatch):
    limits = ObservedLimits()
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)

    async def scenario() -> tuple[bool, list[int]]:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(2))
        await asyncio.to_thread(limits.acquired.wait, 10)
        is_open = await sync_to_async(lambda: connection.connection is not None)()
        first = await polling
        second = await page.poll(1)  # the only slot is free again
        return is_open, [first.status_code, second.status_code]

    assert run_scenario(scenario()) == (False, [304, 304])
