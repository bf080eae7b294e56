"""The view of the stream: who may follow what, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import urllib.request
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import AsyncClient, Client

from offload.lifecycle import succeeded
from offload.live.connection_limits import ConnectionLimits
from offload.live.tokens import make_token
from offload.models import Job
from offload.testing import recording
from offload.uuid7 import new_id
from tests.jobs import finish
from tests.live import tasks
from tests.live.clients import start_job, user_client
from tests.live.stream_reader import StreamReader

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("watched")]

STREAM = {"Accept": "text/event-stream"}


def ask(ids: Any, user: User | None = None, query: str = "", **headers: str) -> Any:
    """Return the answer under ASGI, without the server of streams beside Django."""

    async def body() -> Any:
        client = AsyncClient()
        if user is not None:
            await client.aforce_login(user)
        url = f"/tasks/events/?ids={ids}{query}"
        answer = await client.get(url, headers={**STREAM, **headers})
        if answer.streaming:
            answer.first = await anext(aiter(answer))
        answer.close()
        return answer

    return asyncio.run(body())


def cookies(client: Any) -> dict[str, str]:
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


# --- refused ------------------------------------------------------------------------------------


def test_under_wsgi_the_page_is_told_to_poll():
    answer = Client(headers=STREAM).get(f"/tasks/events/?ids={tasks.for_all.enqueue().id}")

    assert answer.status_code == 501
    assert answer.json()["type"] == "urn:offload:no-stream"


@pytest.mark.parametrize(
    ("ids", "status"),
    [("", 400), ("x", 400), (",".join(str(new_id()) for _ in range(101)), 400), (new_id(), 404)],
)
def test_what_cannot_be_followed_is_refused(ids, status):
    answer = ask(ids)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_anothers_job_is_the_same_404_as_an_unknown_one():
    mine = start_job(user_client("ada"))
    eve = User.objects.create(username="eve")

    not_mine, unknown = ask(mine, eve), ask(new_id(), eve)

    assert not_mine.status_code == unknown.status_code == 404
    assert not_mine.content == unknown.content


def test_who_wants_no_stream_gets_none():
    assert ask(tasks.for_all.enqueue().id, Accept="application/json").status_code == 406


def test_a_page_that_comes_back_for_what_has_ended_is_stopped():
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))
    version = Job.objects.get(pk=result.id).version

    assert ask(result.id, query=f"&known={result.id}.{version}").status_code == 204
    assert ask(result.id, **{"Last-Event-ID": f"{result.id}.{version}"}).status_code == 204
    assert ask(result.id, query=f"&known={result.id}.{version - 1}").status_code == 200
    assert ask(result.id).status_code == 200


@pytest.mark.parametrize("known", ["-" * 32 + ".1", "a" * 33 + ".1", "." * 5000])
def test_a_page_that_says_it_knows_nonsense_is_told_all(known):
    answer = ask(tasks.for_all.enqueue().id, **{"Last-Event-ID": known})

    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["forged", None])
def test_a_bad_token_is_refused(token):
    result = tasks.private.enqueue()
    good = make_token([result.id])

    answer = ask(result.id, Authorization=f"Offload {token or good[:-1] + '~'}")

    assert answer.status_code == 401


def test_a_token_that_has_expired_meanwhile_is_told_as_such_when_the_page_comes_back(monkeypatch):
    result = tasks.private.enqueue()
    token = f"Offload {make_token([result.id])}"
    assert ask(result.id, Authorization=token).status_code == 200
    monkeypatch.setattr("offload.live.tokens.LIFETIME_SECONDS", -1)

    answer = ask(result.id, Authorization=token)

    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:offload:token-expired"


def test_a_token_opens_a_stream_of_its_own_jobs_only():
    mine, other = tasks.private.enqueue(), tasks.private.enqueue()
    token = f"Offload {make_token([mine.id])}"

    assert ask(mine.id, Authorization=token).status_code == 200
    assert ask(other.id, Authorization=token).status_code == 404


@pytest.mark.parametrize(("each", "total", "status"), [(1, 5, 429), (5, 1, 503)])
def test_who_has_too_many_streams_is_told_when_to_come_back(monkeypatch, each, total, status):
    limits = ConnectionLimits(each, total)
    monkeypatch.setattr("offload.streams.views.get_connection_limits", lambda: limits)
    ada = user_client("ada")
    mine = start_job(ada)
    limits.acquire(f"user:{ada.user.pk}")  # type: ignore[attr-defined]

    answer = ask(mine, ada.user)  # type: ignore[attr-defined]

    assert answer.status_code == status
    assert int(answer.headers["Retry-After"]) > 0


def test_jobs_in_memory_have_no_stream():
    with recording():
        answer = ask(tasks.for_all.enqueue().id)

    assert answer.status_code == 501


@pytest.mark.parametrize("method", ["post", "head", "delete"])
def test_other_methods_are_refused(method):
    assert getattr(Client(), method)("/tasks/events/?ids=x").status_code == 405


def test_where_the_websocket_is_there_is_no_page():
    answer = Client().get("/tasks/ws/")

    assert answer.status_code == 426
    assert answer.headers["Upgrade"] == "websocket"


# --- without the server of streams ----------------------------------------------------------------


def test_the_view_streams_by_itself_and_holds_no_seat_afterwards(monkeypatch):
    limits = ConnectionLimits(1, 1)
    for place in ("views", "subscription"):
        monkeypatch.setattr(f"offload.streams.{place}.get_connection_limits", lambda: limits)
    result = tasks.for_all.enqueue()

    for _ in range(2):
        answer = ask(result.id)
        assert answer.first == b"retry: 2000\n\n"
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert "X-Offload-Stream" not in answer.headers


def test_a_stream_that_was_never_begun_holds_no_seat(monkeypatch):
    limits = ConnectionLimits(1, 1)
    for place in ("views", "subscription"):
        monkeypatch.setattr(f"offload.streams.{place}.get_connection_limits", lambda: limits)
    result = tasks.for_all.enqueue()

    async def body() -> None:
        for _ in range(2):
            answer = await AsyncClient().get(f"/tasks/events/?ids={result.id}", headers=STREAM)
            assert answer.status_code == 200
            answer.close()

    asyncio.run(body())


def test_a_request_that_is_given_up_while_rights_are_checked_holds_no_seat(monkeypatch):
    limits = ConnectionLimits(1, 1)
    for place in ("views", "subscription"):
        monkeypatch.setattr(f"offload.streams.{place}.get_connection_limits", lambda: limits)
    result = tasks.for_slow_decision.enqueue()
    tasks.decision_started.clear()
    tasks.decision_allowed.clear()

    async def body() -> None:
        browser = Browser(f"ids={result.id}")
        asking = asyncio.create_task(get_asgi_application()(*browser.request))
        await asyncio.to_thread(tasks.decision_started.wait, 20)
        browser.is_gone.set()
        for _ in range(50):  # Django hears of it
            await asyncio.sleep(0)
        tasks.decision_allowed.set()
        await asyncio.wait_for(asking, 20)
        assert browser.answers == []

    asyncio.run(body())
    gc.collect()
    limits.acquire("")


class Browser:
    """Asks for a stream, and may go away."""

    def __init__(self, query: str) -> None:
        self.is_gone = asyncio.Event()
        self.answers: list[Any] = []
        self._is_sent = False
        scope = {"type": "http", "method": "GET", "path": "/tasks/events/", "http_version": "1.1"}
        headers = [(b"host", b"localhost"), (b"accept", b"text/event-stream")]
        more = {"query_string": query.encode(), "headers": headers}
        self.request = ({**scope, **more}, self._receive, self._send)

    async def _receive(self) -> Any:
        if self._is_sent:
            await self.is_gone.wait()
            return {"type": "http.disconnect"}
        self._is_sent = True
        return {"type": "http.request"}

    async def _send(self, message: Any) -> None:
        self.answers.append(message)


def test_the_view_alone_tells_all_and_keeps_no_connection(start_server, start_worker):
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


# --- with it -----------------------------------------------------------------------------------


def test_ids_are_filtered_one_by_one(server):
    ada = user_client("ada")
    mine, also_mine = start_job(ada), start_job(ada)
    anothers = start_job(user_client("eve"))
    unknown = str(new_id())

    with StreamReader(server.port, [mine, anothers, also_mine, unknown], cookies(ada)) as reader:
        first = reader.expect("snapshot")

    assert [item["id"] for item in first.data["items"]] == [mine, also_mine]
    assert first.data["missing"] == [anothers, unknown]
    assert first.id == f"{mine}.0,{also_mine}.0"


def test_the_answer_has_the_headers_of_a_stream(server):
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


def test_a_page_that_comes_back_is_told_only_what_is_new(server):
    known, changed = tasks.for_all.enqueue(), tasks.for_all.enqueue()
    Job.objects.filter(pk=changed.id).update(version=7)
    query = f"&known={known.id}.0,{changed.id}.6,nonsense"

    with StreamReader(server.port, [known.id, changed.id], query=query) as reader:
        first = reader.expect("snapshot")

    assert [item["id"] for item in first.data["items"]] == [changed.id]
    assert first.id == f"{known.id}.0,{changed.id}.7"


def test_the_last_event_id_says_what_is_known(server):
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id], {"Last-Event-ID": f"{result.id}.0"}) as reader:
        assert reader.expect("snapshot").data["items"] == []


def test_jobs_that_have_ended_are_told_once_and_the_stream_ends(server):
    result = tasks.for_all.enqueue()
    finish(succeeded("1"))

    with StreamReader(server.port, [result.id]) as reader:
        first, close = reader.remaining()
    assert first.data["items"][0]["phase"] == "succeeded"
    assert close.data == {"reason": "finished"}
    with StreamReader(server.port, [result.id], {"Last-Event-ID": first.id}) as reader:
        assert reader.status == 204


def test_progress_is_told_while_the_job_runs(server, start_worker, gate):
    result = tasks.fill.enqueue(str(gate))

    with StreamReader(server.port, [result.id]) as reader:
        reader.expect("snapshot")
        start_worker(0)
        while not (told := reader.expect("update").data["progress"]):
            pass
        gate.touch()
        *_, last, _ = reader.remaining()

    assert (told["done"], told["total"], told["message"]) == (3, 10, "Filling")
    assert last.data["phase"] == "succeeded"


def test_each_reader_is_told_no_more_than_it_may(server, start_worker):
    ada, staff = user_client("ada"), user_client("root", is_staff=True)
    mine = start_job(ada, "shown", "secret")
    token = {"Authorization": f"Offload {make_token([mine])}"}

    with (
        StreamReader(server.port, [mine], cookies(ada)) as owner,
        StreamReader(server.port, [mine], token) as guest,
    ):
        start_worker(0)
        last = {name: reader.remaining()[-2].data for name, reader in (("o", owner), ("g", guest))}

    assert last["o"]["result"] == "secret"
    assert last["g"]["result"] is None
    with StreamReader(server.port, [mine], cookies(staff)) as other:
        assert other.status == 404


def test_one_person_has_only_so_many_streams(server):
    ada = user_client("ada")
    mine = start_job(ada)
    readers = [StreamReader(server.port, [mine], cookies(ada)) for _ in range(3)]

    with StreamReader(server.port, [mine], cookies(ada)) as one_too_many:
        assert one_too_many.status == 429
    readers.pop().close()
    with StreamReader.when_admitted(server.port, [mine], cookies(ada)):
        pass
    for reader in readers:
        reader.close()


def test_signing_out_ends_the_stream_and_it_does_not_come_back(server):
    ada = user_client("ada")
    mine = start_job(ada)

    with StreamReader(server.port, [mine], cookies(ada)) as reader:
        reader.expect("snapshot")
        url = f"http://127.0.0.1:{server.port}/sign-out/"
        request = urllib.request.Request(url, headers=cookies(ada))
        urllib.request.urlopen(request, timeout=20).close()

        (close,) = reader.remaining()
    assert close.data == {"reason": "lifetime"}
    with StreamReader(server.port, [mine], cookies(ada)) as reader:
        assert reader.status == 404


def test_a_middleware_that_answers_otherwise_is_obeyed(start_server):
    server = start_server("uvicorn", application="tests.live.application:refusing")
    result = tasks.for_all.enqueue()

    with StreamReader(server.port, [result.id]) as reader:
        assert reader.status == 403
        assert reader.response.read() == b"refused"
