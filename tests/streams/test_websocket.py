"""The WebSocket: the same messages, under each server."""

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
from tests.live.clients import start_job, user_client
from tests.live.servers import Server

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 20.0


def open_socket(
    server: Server,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/tasks/ws/",
    **more: Any,
) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{path}",
        additional_headers=headers,
        proxy=None,
        open_timeout=PATIENCE,
        **more,
    )


def say(socket: ClientConnection, **said: Any) -> None:
    socket.send(json.dumps(said))


def hear(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(PATIENCE)))


def hear_all(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Return all messages until the close, and its code."""
    heard = []
    try:
        while True:
            heard.append(hear(socket))
    except ConnectionClosed as closed:
        return heard, closed.rcvd.code if closed.rcvd else 1006


def cookies(client: Any) -> dict[str, str]:
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


# --- under each server -----------------------------------------------------------------------


def test_it_tells_all_that_happens_to_a_job(start_server, kind, start_worker):
    server = start_server(kind)
    result = tasks.for_all.enqueue()

    with open_socket(server) as socket:
        say(socket, subscribe=[result.id])
        first = hear(socket)
        start_worker(0)
        (*changes, last, close), code = hear_all(socket)

    assert first["event"] == "snapshot"
    assert first["id"] == f"{result.id}.0"
    assert first["data"]["items"][0]["phase"] == "queued"
    assert {message["event"] for message in [*changes, last]} == {"update"}
    assert last["data"]["phase"] == "succeeded"
    assert close == {"event": "close", "data": {"reason": "finished"}}
    assert code == 1000
    assert "Traceback" not in server.output


def test_it_is_closed_when_the_server_is_told_to_stop(start_server, kind):
    server = start_server(kind)
    result = tasks.for_all.enqueue()
    with open_socket(server) as socket:
        say(socket, subscribe=[result.id])
        hear(socket)

        server.terminate()

        hear_all(socket)
        server.process.wait(10)
    assert "Traceback" not in server.output


def test_another_sites_page_is_refused(start_server, kind):
    server = start_server(kind)

    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, origin="https://evil.example")

    assert refused.value.response.status_code == 403


# --- rights ----------------------------------------------------------------------------------


def test_a_page_of_this_site_is_let_in(server):
    with open_socket(server, origin=f"http://127.0.0.1:{server.port}") as socket:
        say(socket, subscribe=[str(new_id())])
        assert hear(socket)["event"] == "snapshot"


def test_ids_are_filtered_one_by_one(server):
    ada = user_client("ada")
    mine, anothers, unknown = start_job(ada), start_job(user_client("eve")), str(new_id())

    with open_socket(server, cookies(ada)) as socket:
        say(socket, subscribe=[mine, anothers, unknown])
        first = hear(socket)

    assert [item["id"] for item in first["data"]["items"]] == [mine]
    assert first["data"]["missing"] == [anothers, unknown]


def test_who_may_see_none_of_them_is_told_that_they_are_missing(server):
    anothers = start_job(user_client("eve"))

    with open_socket(server) as socket:
        say(socket, subscribe=[anothers])
        heard, code = hear_all(socket)

    assert [message["data"] for message in heard] == [
        {"items": [], "missing": [anothers]},
        {"reason": "finished"},
    ]
    assert code == 1000


def test_a_token_is_taken_from_the_message(server):
    mine = tasks.private.enqueue()

    with open_socket(server) as socket:
        say(socket, subscribe=[mine.id], token="forged")
        refused = hear(socket)
        say(socket, subscribe=[mine.id], token=make_token([mine.id]))
        first = hear(socket)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:token-refused"
    assert first["data"]["items"][0]["id"] == mine.id


def test_a_token_in_the_handshake_counts_too(server):
    mine = tasks.private.enqueue()

    with open_socket(server, {"Authorization": f"Offload {make_token([mine.id])}"}) as socket:
        say(socket, subscribe=[mine.id])
        assert hear(socket)["data"]["items"][0]["id"] == mine.id


def test_what_a_proxy_says_of_the_person_is_passed_on(server):
    result = tasks.for_proxy_user.enqueue()

    with open_socket(server, {"Remote-User": "ada"}) as socket:
        say(socket, subscribe=[result.id])
        assert hear(socket)["data"]["items"][0]["id"] == result.id


def test_a_socket_has_one_seat_however_often_it_subscribes(server):
    ada = user_client("ada")
    mine, also_mine = start_job(ada), start_job(ada)

    with ExitStack() as stack:
        *three, fourth = [stack.enter_context(open_socket(server, cookies(ada))) for _ in range(4)]
        for socket in three:
            for identifier in (mine, also_mine):
                say(socket, subscribe=[identifier])
                assert hear(socket)["event"] == "snapshot"
        say(fourth, subscribe=[mine])
        refused = hear(fourth)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:too-many-streams"


# --- what is followed --------------------------------------------------------------------------


def test_jobs_are_added_and_taken_away(server):
    one, two = tasks.for_all.enqueue(), tasks.for_all.enqueue()

    with open_socket(server) as socket:
        say(socket, subscribe=[one.id])
        hear(socket)
        say(socket, subscribe=[two.id], unsubscribe=[one.id])
        second = hear(socket)

    assert second["id"] == f"{two.id}.0"


def test_what_is_known_is_not_told_again(server):
    known, changed = tasks.for_all.enqueue(), tasks.for_all.enqueue()
    Job.objects.filter(pk=changed.id).update(version=7)

    with open_socket(server) as socket:
        say(socket, subscribe=[known.id, changed.id], known={known.id: 0, changed.id: 6})
        first = hear(socket)

    assert [item["id"] for item in first["data"]["items"]] == [changed.id]


def test_a_page_that_has_all_ends_is_done(server):
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))
    version = Job.objects.get(pk=result.id).version

    with open_socket(server) as socket:
        say(socket, subscribe=[result.id], known={result.id: version})
        heard, code = hear_all(socket)

    assert [message["data"] for message in heard] == [
        {"items": [], "missing": []},
        {"reason": "finished"},
    ]
    assert code == 1000


def test_no_more_than_a_hundred_jobs_are_followed(server):
    result = tasks.for_all.enqueue()

    with open_socket(server) as socket:
        say(socket, subscribe=[result.id])
        hear(socket)
        say(socket, subscribe=[str(new_id()) for _ in range(100)])
        refused = hear(socket)

    assert refused["event"] == "error"
    assert refused["data"]["type"] == "urn:offload:bad-ids"


# --- nonsense ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"), [("[", 1008), (b"{}", 1003), (" " * (MAX_MESSAGE_CHARS + 1), 1009)]
)
def test_nonsense_closes_the_socket(server, said, code):
    before = len(server.output)
    with open_socket(server) as socket:
        socket.send(said)

        assert hear_all(socket) == ([], code)
    assert "Traceback" not in server.output[before:]


def test_who_never_stops_talking_is_closed(server):
    with open_socket(server) as socket:
        for _ in range(MAX_CLIENT_MESSAGES + 1):
            say(socket)

        assert hear_all(socket) == ([], 1008)


def test_another_path_is_not_ours(server):
    with pytest.raises(InvalidStatus):
        open_socket(server, path="/tasks/")


# --- who stays, and for how long ----------------------------------------------------------------


class Talker:
    """Says something over a WebSocket in this process, and stays."""

    def __init__(self, *said: Mapping[str, Any], reads: bool = True) -> None:
        self.unsaid = [{"type": "websocket.receive", "text": json.dumps(each)} for each in said]
        self.unsaid.insert(0, {"type": "websocket.connect"})
        self.heard: list[Any] = []
        self._reads = reads

    def talk(self) -> None:
        scope = {"type": "websocket", "path": "/tasks/ws/", "headers": [(b"host", b"localhost")]}
        socket = StatusSocket()
        asyncio.run(asyncio.wait_for(socket(scope, self._receive, self._send), PATIENCE))

    async def _receive(self) -> Any:
        if not self.unsaid:
            await asyncio.Event().wait()
        return self.unsaid.pop(0)

    async def _send(self, message: Any) -> None:
        self.heard.append(message)
        if message["type"] == "websocket.send" and not self._reads:
            await asyncio.Event().wait()


def test_who_is_let_in_nowhere_does_not_stay(monkeypatch):
    monkeypatch.setattr("offload.streams.websocket.SUBSCRIBE_TIMEOUT", 0.1)
    talker = Talker({}, {"subscribe": [str(new_id())], "token": "forged"})

    talker.talk()

    assert [message["type"] for message in talker.heard] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert talker.heard[-1]["code"] == 1008


@pytest.mark.usefixtures("watched")
def test_that_django_takes_its_time_is_not_the_pages_fault(monkeypatch):
    monkeypatch.setattr("offload.streams.websocket.SUBSCRIBE_TIMEOUT", 0.05)
    tasks.decision_allowed.clear()
    result = tasks.for_slow_decision.enqueue()
    finish(succeeded("1"))
    late = threading.Timer(0.2, tasks.decision_allowed.set)
    late.start()

    talker = Talker({"subscribe": [result.id]})
    talker.talk()

    late.join()
    assert '"succeeded"' in talker.heard[1]["text"]
    assert talker.heard[-1]["code"] == 1000


@pytest.mark.usefixtures("watched")
def test_who_asks_on_and_reads_nothing_is_heard_no_more():
    result = tasks.for_all.enqueue()
    talker = Talker(*[{"subscribe": [result.id]}] * (3 * MAX_UNREAD_REPLIES), reads=False)

    talker.talk()

    assert len(talker.unsaid) > MAX_UNREAD_REPLIES
    assert talker.heard[-1]["code"] == 1008


# --- in a Channels router ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_it_can_be_mounted_in_a_channels_router(start_server, kind):
    server = start_server(kind, application="tests.live.application:channels")
    ada = user_client("ada")
    mine = start_job(ada)

    with open_socket(server, cookies(ada), path="/elsewhere/") as socket:
        say(socket, subscribe=[mine])
        assert hear(socket)["data"]["items"][0]["id"] == mine
