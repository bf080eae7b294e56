"""Long polling: requests that are held until a job changes, under ASGI."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, connections
from django.test import AsyncClient, Client

from offload.live.connection_limits import Client as Holder
from offload.live.connection_limits import ConnectionLimits, CountedConnection
from offload.live.long_poll import requested_wait
from offload.live.open_connections import open_connections
from offload.store import get_store
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.jobs import claim, register_worker
from tests.live.asgi_client import AsgiResponse, get
from tests.live.clients import is_private, session_headers, start_job, user_client
from tests.live.servers import Server
from tests.live.stream_reader import StreamReader
from tests.live.tasks import for_all
from tests.worker.conftest import until

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

    def __init__(self, client: Client, identifier: str) -> None:
        self.url = f"/tasks/{identifier}/"
        self.client = client
        self.tag = ""

    async def poll(self, seconds: int, **options: Any) -> AsgiResponse:
        headers = {
            "Prefer": f"wait={seconds}",
            "If-None-Match": self.tag,
            **session_headers(self.client),
        }
        response = await get(self.url, headers, **options)
        self.tag = response.headers.get("ETag", "")
        return response


@pytest.fixture
def page(transactional_db: None, watched: None) -> Page:
    client = user_client()
    return Page(client, start_job(client))


class ObservedLimits(ConnectionLimits):
    """Limits with an event for the first connection."""

    def __init__(self, per_client: int, total: int) -> None:
        super().__init__(per_client, total)
        self.acquired = threading.Event()

    def acquire(self, client: Holder) -> CountedConnection:
        connection = super().acquire(client)
        self.acquired.set()
        return connection


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> ObservedLimits:
    """Allow one connection in all."""
    limits = ObservedLimits(1, 1)
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)
    return limits


def in_thread(action: Any) -> None:
    """Call a function in its own thread, and close the connections of that thread."""
    try:
        action()
    finally:
        connection.close()


def test_a_held_request_is_answered_when_the_job_changes(page, limits):
    async def scenario() -> Any:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(20))
        await asyncio.to_thread(limits.acquired.wait, 10)
        await asyncio.to_thread(in_thread, lambda: claim(register_worker()))
        return await asyncio.wait_for(polling, 10)

    response = asyncio.run(scenario())

    assert (response.status_code, response.json()["phase"]) == (200, "running")
    assert response.headers["Preference-Applied"] == "wait=20"
    assert is_private(response)
    assert "X-Offload-Handoff" not in response.headers


def test_a_held_request_is_answered_when_the_server_shuts_down(page, limits):
    async def scenario() -> Any:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(20))
        await asyncio.to_thread(limits.acquired.wait, 10)
        await asyncio.to_thread(until, lambda: len(open_connections))
        open_connections.close_all()
        return await asyncio.wait_for(polling, 10)

    assert asyncio.run(scenario()).status_code == 304
    assert len(open_connections) == 0


def test_a_held_request_is_authorized_again(page, limits):
    async def scenario() -> Any:
        await page.poll(0)
        polling = asyncio.create_task(page.poll(20))
        await asyncio.to_thread(limits.acquired.wait, 10)
        await asyncio.to_thread(in_thread, page.client.logout)
        await asyncio.to_thread(in_thread, lambda: claim(register_worker()))
        return await asyncio.wait_for(polling, 10)

    assert asyncio.run(scenario()).status_code == 404


def test_a_held_request_is_answered_with_304_after_the_timeout(page):
    async def scenario() -> Any:
        await page.poll(0)
        return await page.poll(1)

    response = asyncio.run(scenario())

    assert response.status_code == 304
    assert response.headers["Preference-Applied"] == "wait=1"


def test_a_client_that_disconnects_is_not_answered_and_frees_its_place(page, limits):
    async def scenario() -> list[int]:
        disconnected = asyncio.Event()
        await page.poll(0)
        tag = page.tag
        polling = asyncio.create_task(page.poll(20, disconnected=disconnected))
        await asyncio.to_thread(limits.acquired.wait, 10)
        disconnected.set()
        first = await asyncio.wait_for(polling, 10)
        page.tag = tag
        second = await page.poll(1)
        return [first.status_code, second.status_code]

    assert asyncio.run(scenario()) == [0, 304]


def test_a_request_with_an_older_version_is_answered_at_once(page, limits):
    async def scenario() -> list[Any]:
        _connection = limits.acquire(Holder("user:other"))  # a held request would be refused
        first = await page.poll(20)
        page.tag = 'W/"old"'
        second = await page.poll(20)
        return [first, second]

    responses = asyncio.run(scenario())

    assert [response.status_code for response in responses] == [200, 200]
    assert all("Preference-Applied" not in response.headers for response in responses)


def test_a_request_for_a_finished_or_unknown_job_is_answered_at_once(page, limits):
    async def scenario() -> list[int]:
        await page.poll(0)
        await asyncio.to_thread(in_thread, run_jobs)
        page.tag = ""
        await page.poll(0)
        _connection = limits.acquire(Holder("user:other"))
        finished = await page.poll(20)
        page.url, page.tag = f"/tasks/{new_id()}/", "*"
        unknown = await page.poll(20)
        return [finished.status_code, unknown.status_code]

    assert asyncio.run(scenario()) == [304, 404]


def test_without_the_wrapper_a_request_is_answered_at_once(page, limits):
    """Django would keep a thread for it."""

    async def scenario() -> Any:
        first = await page.poll(0)
        _connection = limits.acquire(Holder("user:other"))
        client = AsyncClient()
        client.cookies.update(page.client.cookies)
        headers = {"Prefer": "wait=20", "If-None-Match": first.headers["ETag"]}
        try:
            return await client.get(page.url, headers=headers)
        finally:
            await sync_to_async(connections.close_all)()

    response = asyncio.run(scenario())

    assert response.status_code == 304
    assert not {"Preference-Applied", "X-Offload-Handoff"} & set(response.headers)


def test_a_database_error_is_answered_at_once(page, limits, monkeypatch):
    def find(*_: Any, **_options: Any) -> None:
        raise DatabaseError("no such table: offload_job")

    async def scenario() -> Any:
        await page.poll(0)
        monkeypatch.setattr(get_store("default"), "find", find)
        return await page.poll(20)

    assert asyncio.run(scenario()).status_code == 503


@pytest.mark.parametrize(("per_client", "total", "status"), [(2, 10, 429), (2, 2, 503)])
def test_too_many_held_requests_are_refused(page, monkeypatch, per_client, total, status):
    limits = ConnectionLimits(per_client, total)
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: limits)
    own = f"user:{page.client.user.pk}"
    names = [own, own] if status == 429 else ["user:x", "user:y"]

    async def scenario() -> Any:
        await page.poll(0)
        _connections = [limits.acquire(Holder(name)) for name in names]
        return await page.poll(20)

    response = asyncio.run(scenario())

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert is_private(response)


def test_a_refused_request_leaves_the_session_cookie_alone(page, monkeypatch):
    monkeypatch.setattr("offload.live.views.get_connection_limits", lambda: ConnectionLimits(1, 0))
    url = f"/tasks/{start_job(user_client('ben'), 'for_all')}/"
    cookie = {"Cookie": "sessionid=expired"}

    async def scenario() -> Any:
        first = await get(url, cookie)
        headers = {**cookie, "Prefer": "wait=20", "If-None-Match": first.headers["ETag"]}
        return await get(url, headers)

    response = asyncio.run(scenario())

    assert response.status_code == 503
    assert "Set-Cookie" not in response.headers


# --- hundreds of clients -----------------------------------------------------------------------

HELD = int(os.environ.get("OFFLOAD_TEST_HELD", "100"))


@pytest.mark.django_db(transaction=True)
def test_held_requests_hold_no_threads_and_no_connections(start_server):
    server = start_server(application="tests.live.application:counting")
    result = for_all.enqueue()
    with ExitStack() as stack:
        clients = [stack.enter_context(hold(server, result)) for _ in range(HELD)]
        until(lambda: f"open={HELD};".encode() in read(request(server, "/open/")))
        until(lambda: server.serving().num_threads() <= 20)
        if connection.vendor != "sqlite":  # which closes files only when it needs no locks on them
            until(lambda: server.connections() <= 2)
        answered, _, _ = select.select(clients, [], [], 0)
        claim(register_worker())
        responses = [read(client) for client in clients]

    assert answered == [], "they were not held"
    assert {response.split(b" ", 2)[1] for response in responses} == {b"200"}
    assert all(b"preference-applied: wait=20" in response.lower() for response in responses)
    assert "Traceback" not in server.output


@pytest.mark.django_db(transaction=True)
def test_one_visitor_leaves_places_to_users(start_server):
    server = start_server(options={"max_streams": 40})
    ada = user_client("ada")
    result, own = for_all.enqueue(), start_job(ada)
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(StreamReader(server.port, [result.id])).expect("snapshot")
        refused = stack.enter_context(StreamReader(server.port, [result.id]))
        held = read(stack.enter_context(hold(server, result)))
        reader = stack.enter_context(StreamReader(server.port, [own], session_headers(ada)))

        assert refused.status == 429
        assert refused.response.headers["Content-Type"] == "application/problem+json"
        assert int(refused.response.headers["Retry-After"]) >= 5
        assert held.startswith(b"HTTP/1.1 429")
        assert reader.expect("snapshot")


def hold(server: Server, result: Any) -> socket.socket:
    """Send a request that the server holds."""
    tag = f'W/"{result.id}.0"'
    return request(server, f"/tasks/{result.id}/", "Prefer: wait=20", f"If-None-Match: {tag}")


def request(server: Server, path: str, *headers: str) -> socket.socket:
    """Send a request of a client without cookies."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    client.sendall("\r\n".join(lines).encode())
    return client


def read(client: socket.socket) -> bytes:
    """Return the whole response."""
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))
