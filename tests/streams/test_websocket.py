"""The WebSocket: the messages of the stream, under each server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from offload.lifecycle import succeeded
from offload.live.tokens import make_token
from offload.models import Job
from offload.streams.client_messages import MAX_MESSAGE_CHARS
from offload.streams.websocket import MAX_CLIENT_MESSAGES, MAX_UNREAD_REPLIES, StatusSocket
from offload.uuid7 import new_id
from tests.jobs import finish
from tests.live import tasks
from tests.live.clients import session_headers, start_job, user_client
from tests.live.servers import Server
from tests.waiting import TIMEOUT_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def open_socket(
    server: Server,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/tasks/ws/",
    **options: Any,
) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{path}",
        additional_headers=headers,
        proxy=None,
        open_timeout=TIMEOUT_SECONDS,
        **options,
    )


def send(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def receive(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(TIMEOUT_SECONDS)))


def receive_all(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Return all messages, and the code of the close."""
    messages = []
    try:
        while True:
            messages.append(receive(socket))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd else 1006


# --- under each server -----------------------------------------------------------------------


def test_it_sends_a_job_until_it_finishes(start_server, kind, start_worker):
    server = start_server(kind)
    result = tasks.for_all.enqueue()

    with open_socket(server) as socket:
        send(socket, subscribe=[result.id])
        first = receive(socket)
        start_worker(0)
        (*changes, last, close), code = receive_all(socket)

    assert first["event"] == "snapshot"
    assert first["id"] == f"{result.id}.0"
    assert first["data"]["items"][0]["phase"] == "queued"
    assert {message["event"] for message in [*changes, last]} == {"update"}
    assert last["data"]["phase"] == "succeeded"
    assert close == {"event": "close", "data": {"reason": "finished"}}
    assert code == 1000
    assert "Traceback" not in server.output


def test_it_closes_on_shutdown(start_server, kind):
    server = start_server(kind)
    result = tasks.for_all.enqueue()
    with open_socket(server) as socket:
        send(socket, subscribe=[result.id])
        receive(socket)

        server.terminate()

        receive_all(socket)
        server.process.wait(TIMEOUT_SECONDS)
    assert "Traceback" not in server.output


def test_a_page_of_another_site_is_refused(start_server, kind):
    server = start_server(kind)

    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, origin="https://evil.example")

    assert refused.value.response.status_code == 403


# --- permissions -------------------------------------------------------------------------------


def test_a_page_of_this_site_is_accepted(server):
    with open_socket(server, origin=f"http://127.0.0.1:{server.port}") as socket:
        send(socket, subscribe=[str(new_id())])
        assert receive(socket)["event"] == "snapshot"


def test_each_id_is_authorized(server):
    ada = user_client("ada")
    job, foreign, unknown = start_job(ada), start_job(user_client("eve")), str(new_id())

    with open_socket(server, session_headers(ada)) as socket:
        send(socket, subscribe=[job, foreign, unknown])
        first = receive(socket)

    assert [item["id"] for item in first["data"]["items"]] == [job]
    assert first["data"]["missing"] == [foreign, unknown]


def test_the_header_of_an_api_client_authenticates_it(server):
    job, foreign = start_job(user_client("ada")), start_job(user_client("eve"))

    with open_socket(server, {"Authorization": "Name ada"}) as socket:
        send(socket, subscribe=[job, foreign])
        first = receive(socket)

    assert [item["id"] for item in first["data"]["items"]] == [job]
    assert first["data"]["missing"] == [foreign]


def test_jobs_that_the_client_may_not_see_are_missing(server):
    foreign = start_job(user_client("eve"))

    with open_socket(server) as socket:
        send(socket, subscribe=[foreign])
        messages, code = receive_all(socket)

    assert [message["data"] for message in messages] == [
        {"items": [], "missing": [foreign]},
        {"reason": "finished"},
    ]
    assert code == 1000


def test_a_message_can_have_a_token(server):
    job = tasks.private.enqueue()

    with open_socket(server) as socket:
        send(socket, subscribe=[job.id], token="forged")
        refused = receive(socket)
        send(socket, subscribe=[job.id], token=make_token([job.id]))
        first = receive(socket)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:token-refused"
    assert first["data"]["items"][0]["id"] == job.id


def test_the_handshake_can_have_a_token(server):
    job = tasks.private.enqueue()

    with open_socket(server, {"Authorization": f"Offload {make_token([job.id])}"}) as socket:
        send(socket, subscribe=[job.id])
        assert receive(socket)["data"]["items"][0]["id"] == job.id


def test_headers_of_an_authenticating_proxy_are_used(server):
    result = tasks.for_proxy_user.enqueue()

    with open_socket(server, {"Remote-User": "ada"}) as socket:
        send(socket, subscribe=[result.id])
        assert receive(socket)["data"]["items"][0]["id"] == result.id


def test_a_socket_is_counted_once_whatever_it_subscribes_to(server):
    ada = user_client("ada")
    job, second_job = start_job(ada), start_job(ada)

    with ExitStack() as stack:
        *three, fourth = [
            stack.enter_context(open_socket(server, session_headers(ada))) for _ in range(4)
        ]
        for socket in three:
            for identifier in (job, second_job):
                send(socket, subscribe=[identifier])
                assert receive(socket)["event"] == "snapshot"
        send(fourth, subscribe=[job])
        refused = receive(fourth)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:too-many-streams"
    assert refused["data"]["retry_after"] > 0


# --- subscribing -------------------------------------------------------------------------------


def test_jobs_can_be_added_and_removed(server):
    one, two = tasks.for_all.enqueue(), tasks.for_all.enqueue()

    with open_socket(server) as socket:
        send(socket, subscribe=[one.id])
        receive(socket)
        send(socket, subscribe=[two.id], unsubscribe=[one.id])
        second = receive(socket)

    assert second["id"] == f"{two.id}.0"


def test_known_versions_are_not_sent(server):
    known, changed = tasks.for_all.enqueue(), tasks.for_all.enqueue()
    Job.objects.filter(pk=changed.id).update(version=7)

    with open_socket(server) as socket:
        send(socket, subscribe=[known.id, changed.id], known={known.id: 0, changed.id: 6})
        first = receive(socket)

    assert [item["id"] for item in first["data"]["items"]] == [changed.id]


def test_a_client_with_all_final_states_is_finished(server):
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))
    version = Job.objects.get(pk=result.id).version

    with open_socket(server) as socket:
        send(socket, subscribe=[result.id], known={result.id: version})
        messages, code = receive_all(socket)

    assert [message["data"] for message in messages] == [
        {"items": [], "missing": []},
        {"reason": "finished"},
    ]
    assert code == 1000


def test_a_socket_follows_at_most_a_hundred_jobs(server):
    result = tasks.for_all.enqueue()

    with open_socket(server) as socket:
        send(socket, subscribe=[result.id])
        receive(socket)
        send(socket, subscribe=[str(new_id()) for _ in range(100)])
        refused = receive(socket)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:bad-ids"


# --- invalid messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"), [("[", 1008), (b"{}", 1003), (" " * (MAX_MESSAGE_CHARS + 1), 1009)]
)
def test_an_invalid_message_closes_the_socket(server, message, code):
    before = len(server.output)
    with open_socket(server) as socket:
        socket.send(message)

        assert receive_all(socket) == ([], code)
    assert "Traceback" not in server.output[before:]


def test_too_many_messages_close_the_socket(server):
    with open_socket(server) as socket:
        for _ in range(MAX_CLIENT_MESSAGES + 1):
            send(socket)

        assert receive_all(socket) == ([], 1008)


def test_another_path_is_refused(server):
    with pytest.raises(InvalidStatus):
        open_socket(server, path="/tasks/")


# --- limits ------------------------------------------------------------------------------------


class SocketClient:
    """Sends messages over a WebSocket in this process, and stays connected."""

    def __init__(self, *messages: Mapping[str, Any], reads: bool = True) -> None:
        self.unsent = [
            {"type": "websocket.receive", "text": json.dumps(message)} for message in messages
        ]
        self.unsent.insert(0, {"type": "websocket.connect"})
        self.received: list[Any] = []
        self._reads = reads

    def run(self) -> None:
        scope = {"type": "websocket", "path": "/tasks/ws/", "headers": [(b"host", b"localhost")]}
        socket = StatusSocket()
        asyncio.run(asyncio.wait_for(socket(scope, self._receive, self._send), TIMEOUT_SECONDS))

    async def _receive(self) -> Any:
        if not self.unsent:
            await asyncio.Event().wait()
        return self.unsent.pop(0)

    async def _send(self, message: Any) -> None:
        self.received.append(message)
        if message["type"] == "websocket.send" and not self._reads:
            await asyncio.Event().wait()


def test_a_client_without_a_subscription_is_disconnected(monkeypatch):
    monkeypatch.setattr("offload.streams.websocket.SUBSCRIBE_TIMEOUT", 0.1)
    client = SocketClient({}, {"subscribe": [str(new_id())], "token": "forged"})

    client.run()

    assert [message["type"] for message in client.received] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert client.received[-1]["code"] == 1008


@pytest.mark.usefixtures("watched")
def test_slow_authorization_does_not_disconnect_the_client(monkeypatch):
    monkeypatch.setattr("offload.streams.websocket.SUBSCRIBE_TIMEOUT", 0.05)
    tasks.decision_allowed.clear()
    result = tasks.for_slow_decision.enqueue()
    finish(succeeded("1"))
    late = threading.Timer(0.2, tasks.decision_allowed.set)
    late.start()

    client = SocketClient({"subscribe": [result.id]})
    client.run()

    late.join()
    assert '"succeeded"' in client.received[1]["text"]
    assert client.received[-1]["code"] == 1000


@pytest.mark.usefixtures("watched")
def test_a_client_that_does_not_read_is_disconnected():
    result = tasks.for_all.enqueue()
    client = SocketClient(*[{"subscribe": [result.id]}] * (3 * MAX_UNREAD_REPLIES), reads=False)

    client.run()

    assert len(client.unsent) > MAX_UNREAD_REPLIES
    assert client.received[-1]["code"] == 1008


# --- in a Channels router ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_it_can_be_mounted_in_a_channels_router(start_server, kind):
    server = start_server(kind, application="tests.live.application:channels")
    ada = user_client("ada")
    job = start_job(ada)

    with open_socket(server, session_headers(ada), path="/elsewhere/") as socket:
        send(socket, subscribe=[job])
        assert receive(socket)["data"]["items"][0]["id"] == job
