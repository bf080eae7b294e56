"""The answers over HTTP: headers, forms, results, the page."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Coroutine
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import reverse

from offload.ids import new_id
from offload.live.documents import plain
from offload.live.seats import Seats, get_seats
from offload.live.tokens import make_token
from offload.live.waiting import wanted_wait
from offload.models import Job
from offload.store import get_store
from offload.testing import immediate, run_jobs
from tests.jobs import claim, register
from tests.live.people import BROWSER, JSON, holder, person, start, visitor

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_private(answer: Any) -> bool:
    varies = {name.strip() for name in answer.headers["Vary"].split(",")}
    needed = {"Cookie", "Authorization", "Accept"}
    return PRIVATE.items() <= dict(answer.headers).items() and needed <= varies


# --- headers of all answers ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "page/", "result/", "cancel/"])
def test_no_answer_is_kept_or_shared(suffix):
    client = person()
    identifier = start(client, "shown")
    run_jobs()
    for each in (identifier, new_id()):
        for method in ("get", "post", "head", "put", "options", "delete"):
            answer = getattr(client, method)(f"/tasks/{each}/{suffix}")
            assert is_private(answer), (method, answer.status_code)
    assert is_private(client.get("/tasks/"))
    assert is_private(client.get("/tasks/", query_params={"ids": identifier}))


@pytest.mark.parametrize(
    ("suffix", "allowed"),
    [("", "GET, HEAD"), ("page/", "GET, HEAD"), ("result/", "GET, HEAD"), ("cancel/", "POST")],
)
def test_other_methods_change_nothing_and_are_told_which_are_allowed(suffix, allowed):
    client = person()
    identifier = start(client)
    for method in ("get", "post", "put", "patch", "delete", "options", "trace"):
        if method.upper() in allowed:
            continue
        answer = getattr(client, method)(f"/tasks/{identifier}/{suffix}")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == allowed
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


def test_a_head_is_a_get_without_a_body():
    client = person()
    url = f"/tasks/{start(client)}/"

    assert client.head(url).content == b""
    assert client.head(url).headers["ETag"] == client.get(url).headers["ETag"]


def test_a_database_that_does_not_answer_is_a_server_that_is_busy(monkeypatch):
    client = person()
    identifier = start(client)

    def find(*_: Any) -> None:
        raise DatabaseError("no such table: offload_job")

    monkeypatch.setattr(get_store("default"), "find", find, raising=True)
    answer = client.get(f"/tasks/{identifier}/")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "offload_job" not in answer.text


def test_a_site_on_which_everybody_must_sign_in_lets_visitors_see_their_jobs(settings):
    client = visitor()
    identifier = start(client)
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]

    for suffix in ("", "page/"):
        assert client.get(f"/tasks/{identifier}/{suffix}").status_code == 200
    assert client.get("/tasks/", query_params={"ids": identifier}).status_code == 200
    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 202


@pytest.mark.django_db(transaction=True)
def test_a_site_whose_requests_are_transactions_can_be_asked_too(settings):
    client = person()
    identifier = start(client)
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert client.get(f"/tasks/{identifier}/").status_code == 200
        assert client.post(f"/tasks/{identifier}/cancel/").status_code == 202
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


# --- the state of one job -----------------------------------------------------------------------


def test_asking_again_costs_little_while_nothing_changes(django_assert_num_queries):
    client = person()
    url = f"/tasks/{start(client)}/"
    first = client.get(url)

    with django_assert_num_queries(3):  # the session, its user, the job
        same = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    claim(register())
    changed = client.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    assert same.headers["Retry-After"] == "1"
    assert (changed.status_code, changed.json()["version"]) == (200, 1)


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*", "strong"])
def test_all_forms_of_a_condition_are_understood(form):
    client = person()
    url = f"/tasks/{start(client)}/"
    tag = client.get(url).headers["ETag"]
    value = tag.removeprefix("W/") if form == "strong" else form.format(tag)

    assert client.get(url, headers={"If-None-Match": value}).status_code == 304


def test_a_job_that_has_ended_is_not_asked_for_again():
    client = person()
    identifier = start(client, "explode", "x")
    run_jobs()

    answer = client.get(f"/tasks/{identifier}/")

    assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
    assert "Retry-After" not in answer.headers


def test_htmx_gets_a_fragment():
    client = person()
    identifier = start(client, "shown")

    answer = client.get(f"/tasks/{identifier}/", headers=HTMX)

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<html" not in answer.text
    assert f'action="/tasks/{identifier}/cancel/"' in answer.text


# --- waiting ------------------------------------------------------------------------------------


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
    assert wanted_wait(async_rf.get("/", headers={"Prefer": prefer})) == seconds
    assert wanted_wait(rf.get("/", headers={"Prefer": prefer})) == 0


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
    client = person()
    return Page(start(client), client.user)  # type: ignore[attr-defined]


@pytest.fixture
def one_seat(monkeypatch):
    """One person has one seat, and there is one: the seats."""
    seats = Seats(1, 1)
    monkeypatch.setattr("offload.live.views.get_seats", lambda: seats)
    return seats


class WatchedSeats(Seats):
    """Seats that tell when one is taken."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.taken = threading.Event()

    def take(self, holder: str) -> None:
        super().take(holder)
        self.taken.set()


def test_a_held_request_is_answered_as_soon_as_there_is_news(page, monkeypatch):
    seats = WatchedSeats()
    monkeypatch.setattr("offload.live.views.get_seats", lambda: seats)

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
        with one_seat.taken_by("somebody"):  # so that being held would be refused
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
        with one_seat.taken_by("somebody"):
            ended = await page.ask(20)
            page.url, page.known = f"/tasks/{new_id()}/", "*"
            unknown = await page.ask(20)
        return [ended.status_code, unknown.status_code]

    assert play(scene()) == [304, 404]


def test_too_many_held_requests_are_refused(page, monkeypatch):
    async def scene(seats: Seats, *holders: str) -> Any:
        monkeypatch.setattr("offload.live.views.get_seats", lambda: seats)
        page.known = ""
        await page.ask(0)
        for each in holders:
            seats.take(each)
        return await page.ask(20)

    own = play(scene(Seats(2, 10), *[f"user:{page.user.pk}"] * 2))
    all_taken = play(scene(Seats(2, 2), "user:x", "user:y"))

    assert own.status_code == 429
    assert all_taken.status_code == 503
    for answer in (own, all_taken):
        assert 5 <= int(answer.headers["Retry-After"]) <= 15
        assert is_private(answer)


def test_a_held_request_frees_its_seat_and_holds_no_connection(page, monkeypatch):
    seats = WatchedSeats()
    monkeypatch.setattr("offload.live.views.get_seats", lambda: seats)

    async def scene() -> tuple[bool, list[int]]:
        await page.ask(0)
        asking = asyncio.create_task(page.ask(2))
        await asyncio.to_thread(seats.taken.wait, 10)
        is_open = await sync_to_async(lambda: connection.connection is not None)()
        first = await asking
        second = await page.ask(1)  # the only seat is free again
        return is_open, [first.status_code, second.status_code]

    assert play(scene()) == (False, [304, 304])


# --- several jobs -------------------------------------------------------------------------------


def test_a_list_has_one_tag_for_all():
    client = person()
    ids = [start(client), start(client, "shown"), str(new_id())]
    query = {"ids": ",".join([*ids, ids[0]])}

    first = client.get("/tasks/", query_params=query)
    tag = {"If-None-Match": first.headers["ETag"]}
    same = client.get("/tasks/", query_params=query, headers=tag)
    run_jobs()
    changed = client.get("/tasks/", query_params=query, headers=tag)

    assert [item["id"] for item in first.json()["items"]] == ids[:2]
    assert first.json()["missing"] == ids[2:]
    assert first.json()["poll_ms"] == 500
    assert first.headers["Retry-After"] == "1"
    assert (same.status_code, same.headers["Retry-After"]) == (304, "1")
    assert (changed.status_code, changed.json()["poll_ms"]) == (200, None)
    assert "Retry-After" not in changed.headers


@pytest.mark.parametrize(
    "ids", ["", "x", "1,2", ",", ",".join(str(new_id()) for _ in range(101)), "a" * 10_000]
)
def test_a_list_needs_ids_and_not_too_many(ids):
    answer = person().get("/tasks/", query_params={"ids": ids})

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:offload:bad-ids"


def test_a_hundred_ids_are_not_too_many():
    ids = [str(new_id()) for _ in range(100)]
    answer = person().get("/tasks/", query_params={"ids": ",".join(ids)})

    assert answer.json()["missing"] == ids


def test_a_list_without_ids_lists_nobodys_jobs():
    client = person()
    start(client)

    assert client.get("/tasks/").status_code == 400


def test_why_jobs_failed_costs_one_query_more(django_assert_num_queries):
    client = person()
    ids = [start(client, "refuse", f"reason {number}") for number in range(3)]
    run_jobs()

    with django_assert_num_queries(4):
        answer = client.get("/tasks/", query_params={"ids": ",".join(ids)})

    titles = [item["error"]["title"] for item in answer.json()["items"]]
    assert titles == ["reason 0", "reason 1", "reason 2"]


# --- cancelling ---------------------------------------------------------------------------------


def test_a_job_that_waits_is_cancelled_at_once():
    client = person()
    identifier = start(client)

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["phase"]) == (202, "cancelled")


def test_a_job_that_runs_is_asked_to_stop():
    client = person()
    identifier = start(client)
    claim(register())

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["phase"]) == (202, "cancelling")


def test_a_job_that_has_ended_is_not_cancelled():
    client = person()
    identifier = start(client)
    run_jobs()

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:finished")
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "succeeded"


@pytest.mark.parametrize("has_ended", [False, True])
def test_the_form_of_a_page_without_javascript_leads_back_to_it(has_ended):
    client = person()
    identifier = start(client)
    if has_ended:
        run_jobs()

    answer = client.post(f"/tasks/{identifier}/cancel/", headers=BROWSER)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/tasks/{identifier}/page/"


def test_htmx_gets_the_fragment_of_what_was_cancelled():
    client = person()
    identifier = start(client)

    answer = client.post(f"/tasks/{identifier}/cancel/", headers=HTMX)

    assert 'data-phase="cancelled"' in answer.text


MIDDLEWARE_WITHOUT_CSRF = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "offload.middleware.OffloadMiddleware",
]


class Forms(HTMLParser):
    """The forms of a page: action and fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        found = dict(attributes)
        if tag == "form":
            self.action = found["action"]
        elif tag == "input":
            self.fields[found["name"]] = found["value"]


@pytest.mark.parametrize("middleware", ["with CSRF", "without"])
@pytest.mark.parametrize("setting", ["CSRF_USE_SESSIONS", "CSRF_COOKIE_HTTPONLY"])
def test_the_form_of_the_page_can_be_sent_and_no_other(middleware, setting, settings):
    setattr(settings, setting, True)
    careful: Any = Client(enforce_csrf_checks=True, headers=JSON)
    user = User.objects.create_user("ada")
    careful.force_login(user)
    identifier = start(person("ada"))
    if middleware == "without":
        settings.MIDDLEWARE = MIDDLEWARE_WITHOUT_CSRF
    url = f"/tasks/{identifier}/cancel/"

    without = careful.post(url)
    form = Forms(text_of(careful.get(f"/tasks/{identifier}/page/")))
    wrong = careful.post(form.action, {"csrfmiddlewaretoken": "x" * 64})
    right = careful.post(form.action, form.fields)

    assert (without.status_code, wrong.status_code) == (403, 403)
    assert (right.status_code, right.json()["phase"]) == (202, "cancelled")


@pytest.mark.parametrize("known", [True, False])
def test_without_a_csrf_token_nobody_learns_whether_there_is_a_job(known):
    identifier = start(person("ada")) if known else new_id()
    careful = Client(enforce_csrf_checks=True, headers=JSON)
    careful.force_login(User.objects.get_or_create(username="ben")[0])

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 403


def test_a_token_in_a_header_needs_no_csrf_token():
    identifier = start(person())
    token = make_token([identifier], scopes=["status", "cancel"])
    careful = Client(
        enforce_csrf_checks=True, headers={**JSON, "Authorization": f"Offload {token}"}
    )

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 202


def test_a_bad_token_in_a_header_does_not_open_the_way_around_the_csrf_check():
    client = person()
    identifier = start(client)
    careful = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": "Offload x"})
    careful.force_login(client.user)  # type: ignore[attr-defined]

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 401
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-origin", 202), ("same-site", 202), ("none", 202)],
)
def test_what_a_browser_says_is_from_another_site_is_refused(site, status):
    client = person()
    identifier = start(client)

    answer = client.post(f"/tasks/{identifier}/cancel/", headers={"Sec-Fetch-Site": site})

    assert answer.status_code == status


# --- results ------------------------------------------------------------------------------------


def result_of(task: str, *arguments: str) -> Any:
    client = person()
    identifier = start(client, task, *arguments)
    run_jobs()
    return client.get(f"/tasks/{identifier}/result/")


def test_a_result_is_the_json_that_the_task_returned():
    answer = result_of("shown", "</script><b>&")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == "</script><b>&"
    assert is_private(answer)


def test_a_result_may_be_made_for_the_reader():
    client = person()
    identifier = start(client, "for_all")
    Job.objects.update(task_path="tests.live.tasks.summed", arguments="[[1,2],{}]")
    run_jobs()

    assert client.get(f"/tasks/{identifier}/result/").json() == {"sum": 3}
    assert client.get(f"/tasks/{identifier}/").json()["result"] is None


def test_a_result_may_be_a_file_to_keep():
    answer = result_of("filed")

    assert answer.getvalue() == b"a,b\r\n1,2\r\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    assert is_private(answer)


def test_a_result_may_be_elsewhere():
    answer = result_of("stored")

    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        "https://storage.example/x?signature=1",
    )
    assert is_private(answer)


def test_a_result_that_is_gone_is_not_found():
    answer = result_of("deleted")

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_code_that_fails_to_show_a_result_tells_nothing():
    answer = result_of("broken_view")

    assert (answer.status_code, answer.json()["type"]) == (500, "urn:offload:result-unavailable")
    assert "division" not in answer.text


def test_a_result_is_not_there_before_the_end():
    client = person()
    identifier = start(client, "shown")

    answer = client.get(f"/tasks/{identifier}/result/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:unfinished")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("task", ["shown"])
def test_a_job_that_failed_has_no_result(task):
    client = person()
    identifier = start(client, task)
    client.post(f"/tasks/{identifier}/cancel/")

    answer = client.get(f"/tasks/{identifier}/result/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:no-result")


@pytest.mark.parametrize("task", ["private", "for_nobody_knows", "explode"])
def test_a_result_that_is_not_exposed_is_not_found(task):
    assert result_of(task, *(["x"] if task == "explode" else [])).status_code == 404


# --- what is gone -------------------------------------------------------------------------------


@pytest.fixture
def pruned(settings) -> str:
    settings.TASKS = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "QUEUES": [],
            "OPTIONS": {"keep_successful": timedelta(0)},
        }
    }
    identifier = start(person("ada"))
    Job.objects.all().delete()
    return identifier


def test_who_may_know_learns_that_a_job_is_no_longer_kept(pruned):
    knowing = [holder(make_token([pruned])), person("dee", "view_job", is_staff=True)]
    for client in knowing:
        for suffix in ("", "page/", "result/"):
            answer = client.get(f"/tasks/{pruned}/{suffix}")
            assert answer.status_code == 410
    assert answer.json()["type"] == "urn:offload:gone"


def test_others_do_not(pruned):
    clients = [person("ada"), person("ben"), visitor(), holder(make_token([new_id()]))]
    assert {client.get(f"/tasks/{pruned}/").status_code for client in clients} == {404}


def test_what_never_was_is_not_gone(settings):
    identifier = new_id()
    client = holder(make_token([identifier]))

    assert client.get(f"/tasks/{identifier}/").status_code == 404
    assert client.get(f"/tasks/{UUID(int=4)}/").status_code == 404


# --- the page -----------------------------------------------------------------------------------

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\x00\x1b'


OURS = re.compile(
    r"""<template.*?</template>
    |<script\ type="module"\ src="/static/offload/[\w-]+\.js"></script>
    |<script\ id="offload-texts"\ type="application/json">[^<]*</script>""",
    re.DOTALL | re.VERBOSE,
)
"""What the element needs: a skeleton, the modules and their words."""


def page_of(client: Client, identifier: Any) -> Any:
    return client.get(f"/tasks/{identifier}/page/", headers=BROWSER)


def text_of(answer: Any) -> str:
    """Return a page without what is the same on each."""
    return OURS.sub("", answer.text)


def test_the_page_looks_again_by_itself_without_javascript():
    client = person()
    identifier = start(client, "shown")
    waiting = text_of(page_of(client, identifier))
    run_jobs()
    ended = text_of(page_of(client, identifier))

    assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in waiting
    assert "refresh" not in ended
    assert "<progress" in waiting
    assert "<progress" not in ended
    assert f'href="/tasks/{identifier}/result/"' in ended


def test_the_page_of_a_job_that_is_not_there():
    answer = page_of(person(), new_id())

    assert answer.status_code == 404
    assert "There is no such task, or it is not yours." in answer.text


def test_hostile_text_is_inert_on_the_page():
    client = person()
    identifier = start(client, "refuse", plain(HOSTILE))
    Job.objects.update(
        progress=json.dumps({"message": HOSTILE, "step": {"number": 1, "name": HOSTILE}})
    )
    waiting = page_of(client, identifier)
    Job.objects.update(progress=None)
    run_jobs()
    failed = page_of(client, identifier)

    for answer in (waiting, failed):
        assert answer.status_code == 200
        assert "<script" not in text_of(answer)
        assert "<img" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", answer.text)
        assert "Set-Cookie: a" not in str(answer.headers)


def test_hostile_text_is_inert_in_json():
    client = person()
    identifier = start(client)
    Job.objects.update(progress=json.dumps({"message": HOSTILE}))

    answer = client.get(f"/tasks/{identifier}/")

    assert "\r" not in answer.text
    assert "\\u0000" not in answer.text
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("task", ["shown", "explode"])
def test_the_page_needs_nothing_that_a_strict_policy_forbids(task):
    client = person()
    identifier = start(client, task, "x")
    for _ in range(2):
        text = text_of(page_of(client, identifier))
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?://", text)
        run_jobs()


def test_the_words_of_the_page_are_those_of_the_phase():
    client = person()
    identifier = start(client, "private", "tr0ub4dor")
    assert "Waiting" in text_of(page_of(client, identifier))
    claim(register())
    client.post(f"/tasks/{identifier}/cancel/")

    text = text_of(page_of(client, identifier))

    assert "Being cancelled" in text
    assert "tr0ub4dor" not in text


def test_numbers_of_the_page_are_for_machines_where_machines_read_them(settings):
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    client = person()
    identifier = start(client)
    Job.objects.update(progress=json.dumps({"current": 1, "total": 3}))

    assert 'max="100" value="33.3"' in page_of(client, identifier).text


# --- jobs in memory -----------------------------------------------------------------------------


def test_a_projects_own_tests_see_jobs_that_run_at_once():
    with immediate():
        client = person()
        identifier = start(client, "shown", "5")
        other = start(client, "refuse", "Too large.")

        answers = [client.get(f"/tasks/{each}/").json() for each in (identifier, other)]

    assert (answers[0]["phase"], answers[0]["result"]) == ("succeeded", "5")
    assert (answers[1]["phase"], answers[1]["error"]["title"]) == ("failed", "Too large.")


def test_the_urls_have_the_names_that_projects_reverse():
    identifier = new_id()
    names = {
        name: reverse(f"offload:{name}", args=[identifier])
        for name in ("status", "cancel", "result", "page")
    }

    assert names["status"] == f"/tasks/{identifier}/"
    assert reverse("offload:list") == "/tasks/"
    assert len(set(names.values())) == 4


@override_settings(ALLOWED_HOSTS=["*"])
def test_the_seats_are_as_many_as_the_options_say(settings):
    settings.TASKS = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "OPTIONS": {"streams_per_user": 1, "streams": 2},
        }
    }
    get_seats.cache_clear()
    try:
        seats = get_seats()
        seats.take("user:1")
        with pytest.raises(Exception, match="too-many-streams"):
            seats.take("user:1")
        seats.take("user:2")
        with pytest.raises(Exception, match="busy"):
            seats.take("user:3")
    finally:
        get_seats.cache_clear()


def test_nobody_in_particular_has_as_many_seats_as_there_are():
    seats = Seats(1, 3)
    for _ in range(3):
        seats.take("")
    with pytest.raises(Exception, match="busy"):
        seats.take("")
    seats.leave("")
    seats.take("")


def test_an_answer_of_a_project_keeps_its_own_headers(monkeypatch):
    answer = HttpResponse("x", headers={"Cache-Control": "private, max-age=60"})
    monkeypatch.setattr("offload.live.views.exposed_by", lambda _: lambda _: answer)

    found = result_of("shown")

    assert found.headers["Cache-Control"] == "private, max-age=60"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
