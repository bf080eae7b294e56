"""The view of the stream: permissions, limits and refusals."""

from __future__ import annotations

import asyncio
import gc
import urllib.request
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import AsyncClient, Client, override_settings

from offload.lifecycle import succeeded
from offload.live.connection_limits import Client as Holder
from offload.live.connection_limits import ConnectionLimits
from offload.live.tokens import make_token
from offload.models import Job
from offload.testing import recording
from offload.uuid7 import new_id
from tests.jobs import finish
from tests.live import tasks
from tests.live.clients import session_headers, start_job, user_client
from tests.live.stream_reader import StreamReader

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("watched")]

STREAM = {"Accept": "text/event-stream"}


def get_stream(ids: Any, user: User | None = None, query: str = "", **headers: str) -> Any:
    """Return the response of Django alone under ASGI."""

    async def scenario() -> Any:
        client = AsyncClient()
        if user is not None:
            await client.aforce_login(user)
        url = f"/tasks/events/?ids={ids}{query}"
        response = await client.get(url, headers={**STREAM, **headers})
        if response.streaming:
            response.first = await anext(aiter(response))
        response.close()
        return response

    return asyncio.run(scenario())


# --- refused ------------------------------------------------------------------------------------


def test_wsgi_cannot_stream():
    response = Client(headers=STREAM).get(f"/tasks/events/?ids={tasks.for_all.enqueue().id}")

    assert response.status_code == 501
    assert response.json()["type"] == "urn:offload:no-stream"


@override_settings(DEBUG=False, ADMINS=["ada@example.com"])
def test_a_visitor_cannot_send_mail_to_the_admins(mailoutbox, caplog):
    Client(headers=STREAM).get("/tasks/events/?ids=019abf1c-6d1e-7000-8a4f-5b0c6f0e7d11")

    assert mailoutbox == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("ids", "status"),
    [("", 400), ("x", 400), (",".join(str(new_id()) for _ in range(101)), 400), (new_id(), 404)],
)
def test_invalid_and_unknown_ids_are_refused(ids, status):
    response = get_stream(ids)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"


def test_another_users_job_and_an_unknown_one_are_the_same_404():
    job = start_job(user_client("ada"))
    eve = User.objects.create(username="eve")

    foreign, unknown = get_stream(job, eve), get_stream(new_id(), eve)

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content


def test_a_client_must_accept_a_stream():
    assert get_stream(tasks.for_all.enqueue().id, Accept="application/json").status_code == 406


def test_a_client_with_all_final_states_gets_204():
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))
    version = Job.objects.get(pk=result.id).version

    assert get_stream(result.id, query=f"&known={result.id}.{version}").status_code == 204
    assert get_stream(result.id, **{"Last-Event-ID": f"{result.id}.{version}"}).status_code == 204
    assert get_stream(result.id, query=f"&known={result.id}.{version - 1}").status_code == 200
    assert get_stream(result.id).status_code == 200


@pytest.mark.parametrize("known", ["-" * 32 + ".1", "a" * 33 + ".1", "." * 5000])
def test_invalid_known_versions_are_ignored(known):
    response = get_stream(tasks.for_all.enqueue().id, **{"Last-Event-ID": known})

    assert response.status_code == 200


@pytest.mark.parametrize("token", ["forged", None])
def test_an_invalid_token_is_refused(token):
    result = tasks.private.enqueue()
    good = make_token([result.id])

    response = get_stream(result.id, Authorization=f"Offload {token or good[:-1] + '~'}")

    assert response.status_code == 401


def test_a_reconnection_with_an_expired_token_is_refused(monkeypatch):
    result = tasks.private.enqueue()
    token = f"Offload {make_token([result.id])}"
    assert get_stream(result.id, Authorization=token).status_code == 200
    monkeypatch.setattr("offload.live.tokens.LIFETIME_SECONDS", -1)

    response = get_stream(result.id, Authorization=token)

    assert response.status_code == 401
    assert response.json()["type"] == "urn:offload:token-expired"


def test_a_token_is_for_its_own_jobs_only():
    job, other = tasks.private.enqueue(), tasks.private.enqueue()
    token = f"Offload {make_token([job.id])}"

    assert get_stream(job.id, Authorization=token).status_code == 200
    assert get_stream(other.id, Authorization=token).status_code == 404


@pytest.mark.parametrize(("each", "total", "status"), [(1, 5, 429), (5, 1, 503)])
def test_too_many_streams_are_refused_with_retry_after(monkeypatch, each, total, status):
    limits = ConnectionLimits(each, total)
    monkeypatch.setattr("offload.streams.views.get_connection_limits", lambda: limits)
    ada = user_client("ada")
    job = start_job(ada)
    _connection = limits.acquire(Holder(f"user:{ada.user.pk}"))  # type: ignore[attr-defined]

    response = get_stream(job, ada.user)  # type: ignore[attr-defined]

    assert response.status_code == status
    assert int(response.headers["Retry-After"]) > 0


def test_jobs_in_memory_have_no_stream():
    with recording():
        response = get_stream(tasks.for_all.enqueue().id)

    assert response.status_code == 501


@pytest.mark.parametrize("method", ["post", "head", "delete"])
def test_other_methods_are_refused(method):
    assert getattr(Client(), method)("/tasks/events/?ids=x").status_code == 405


def test_a_plain_request_to_the_websocket_requires_an_upgrade():
    response = Client().get("/tasks/ws/")

    assert response.status_code == 426
    assert response.headers["Upgrade"] == "websocket"


# --- Django alone -------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> ConnectionLimits:
    """Limits that allow one connection."""
    limits = ConnectionLimits(1, 1)
    monkeypatch.setattr("offload.streams.views.get_connection_limits", lambda: limits)
    return limits


@pytest.mark.usefixtures("limits")
def test_a_closed_response_is_not_counted():
    result = tasks.for_all.enqueue()

    for _ in range(2):
        response = get_stream(result.id)
        assert response.first == b"retry: 2000\n\n"
        assert response.headers["Content-Type"] == "text/event-stream"
        assert "X-Offload-Handoff" not in response.headers


@pytest.mark.usefixtures("limits")
def test_a_response_that_was_never_read_is_not_counted():
    result = tasks.for_all.enqueue()

    async def scenario() -> None:
        for _ in range(2):
            response = await AsyncClient().get(f"/tasks/events/?ids={result.id}", headers=STREAM)
            assert response.status_code == 200
            response.close()

    asyncio.run(scenario())


def test_a_request_cancelled_during_authorization_is_not_counted(limits):
    result = tasks.for_slow_decision.enqueue()
    tasks.decision_started.clear()
    tasks.decision_allowed.clear()

    async def scenario() -> None:
        request = AsgiRequest(f"ids={result.id}")
        handling = asyncio.create_task(get_asgi_application()(*request.arguments))
        await asyncio.to_thread(tasks.decision_started.wait, 20)
        request.is_disconnected.set()
        for _ in range(50):  # Django receives the disconnect
            await asyncio.sleep(0)
        tasks.decision_allowed.set()
        await asyncio.wait_for(handling, 20)
        assert request.messages == []

    asyncio.run(scenario())
    gc.collect()
    limits.acquire(Holder(""))


class AsgiRequest:
    """A request for a stream, whose client can disconnect."""

    def __init__(self, query: str) -> None:
        self.is_disconnected = asyncio.Event()
        self.messages: list[Any] = []
        self._is_sent = False
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/tasks/events/",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream")],
        }
        self.arguments = (scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if self._is_sent:
            await self.is_disconnected.wait()
            return {"type": "http.disconnect"}
        self._is_sent = True
        return {"type": "http.request"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)


def test_streams_of_the_view_hold_no_database_connections(start_server, start_worker):
    server = start_server("uvicorn", application="tests.live.application:django")
    results = [tasks.for_all.enqueue() for _ in range(20)]
    readers = [StreamReader(server.port, [result.id]) for result in results]
    for reader in readers:
        reader.expect("snapshot")
    assert server.connections() <= 2

    start_worker(0)

    for reader in readers:
        *_, last, close = reader.remaining()
        reader.close()
        assert last.data["phase"] == "succeeded"
        assert close.data == {"reason": "finished"}


# --- beside Django ------------------------------------------------------------------------------


def test_each_id_is_authorized(server):
    ada = user_client("ada")
    job, second_job = start_job(ada), start_job(ada)
    foreign = start_job(user_client("eve"))
    unknown = str(new_id())

    with StreamReader(
        server.port, [job, foreign, second_job, unknown], session_headers(ada)
    ) as reader:
        first = reader.expect("snapshot")

    assert [item["id"] for item in first.data["items"]] == [job, second_job]
    assert first.data["missing"] == [foreign, unknown]
    assert first.id == f"{job}.0,{second_job}.0"


def test_the_response_has_the_headers_of_a_stream(server):
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id]) as reader:
        headers = {name.lower(): value for name, value in reader.response.getheaders()}

    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "private, no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "content-length" not in headers
    assert "x-offload-stream" not in headers


def test_a_reconnection_gets_only_newer_versions(server):
    known, changed = tasks.for_all.enqueue(), tasks.for_all.enqueue()
    Job.objects.filter(pk=changed.id).update(version=7)
    query = f"&known={known.id}.0,{changed.id}.6,nonsense"

    with StreamReader(server.port, [known.id, changed.id], query=query) as reader:
        first = reader.expect("snapshot")

    assert [item["id"] for item in first.data["items"]] == [changed.id]
    assert first.id == f"{known.id}.0,{changed.id}.7"


def test_the_last_event_id_has_the_known_versions(server):
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id], {"Last-Event-ID": f"{result.id}.0"}) as reader:
        assert reader.expect("snapshot").data["items"] == []


def test_finished_jobs_are_sent_once_and_the_stream_closes(server):
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))

    with StreamReader(server.port, [result.id]) as reader:
        first, close = reader.remaining()
    assert first.data["items"][0]["phase"] == "succeeded"
    assert close.data == {"reason": "finished"}
    with StreamReader(server.port, [result.id], {"Last-Event-ID": first.id}) as reader:
        assert reader.status == 204


def test_progress_is_sent_while_the_job_runs(server, start_worker, gate):
    result = tasks.fill.enqueue(str(gate))

    with StreamReader(server.port, [result.id]) as reader:
        reader.expect("snapshot")
        start_worker(0)
        while not (progress := reader.expect("update").data["progress"]):
            pass
        gate.touch()
        *_, last, _ = reader.remaining()

    assert (progress["done"], progress["total"], progress["message"]) == (3, 10, "Filling")
    assert last.data["phase"] == "succeeded"


def test_each_client_gets_what_its_grants_allow(server, start_worker):
    ada, staff = user_client("ada"), user_client("root", is_staff=True)
    job = start_job(ada, "shown", "secret")
    token = {"Authorization": f"Offload {make_token([job])}"}

    with (
        StreamReader(server.port, [job], session_headers(ada)) as owner,
        StreamReader(server.port, [job], token) as guest,
    ):
        start_worker(0)
        last = {name: reader.remaining()[-2].data for name, reader in (("o", owner), ("g", guest))}

    assert last["o"]["result"] == "secret"
    assert last["g"]["result"] is None
    with StreamReader(server.port, [job], session_headers(staff)) as other:
        assert other.status == 404


def test_the_streams_of_a_user_are_limited(server):
    ada = user_client("ada")
    job = start_job(ada)
    readers = [StreamReader(server.port, [job], session_headers(ada)) for _ in range(3)]

    with StreamReader(server.port, [job], session_headers(ada)) as refused:
        assert refused.status == 429
    readers.pop().close()
    with StreamReader.when_admitted(server.port, [job], session_headers(ada)):
        pass
    for reader in readers:
        reader.close()


def test_sign_out_closes_the_stream_permanently(server):
    ada = user_client("ada")
    job = start_job(ada)

    with StreamReader(server.port, [job], session_headers(ada)) as reader:
        reader.expect("snapshot")
        url = f"http://127.0.0.1:{server.port}/sign-out/"
        sign_out = urllib.request.Request(url, headers=session_headers(ada))
        urllib.request.urlopen(sign_out, timeout=20).close()

        (close,) = reader.remaining()
    assert close.data == {"reason": "lifetime"}
    with StreamReader(server.port, [job], session_headers(ada)) as reader:
        assert reader.status == 404


def test_a_response_replaced_by_middleware_is_sent(start_server):
    server = start_server("uvicorn", application="tests.live.application:refusing")
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id]) as reader:
        assert reader.status == 403
        assert reader.response.read() == b"refused"
