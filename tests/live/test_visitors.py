"""A visitor without a session sees the jobs that it starts, and no others."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client

from offload.models import Job
from tests.live.clients import BROWSER, JSON, start_job, user_client
from tests.live.tasks import private

pytestmark = pytest.mark.django_db


def new_client(**headers: str) -> Client:
    return Client(headers={**JSON, **headers})


def sees(client: Client, identifier: object) -> bool:
    return client.get(f"/tasks/{identifier}/").status_code == 200


def last_job() -> Job:
    return Job.objects.latest("pk")


def test_who_starts_a_job_sees_it():
    client = new_client()

    identifier = start_job(client)

    assert sees(client, identifier)
    assert not sees(new_client(), identifier)
    assert Session.objects.count() == 1


def test_the_page_to_which_a_form_leads_shows_the_job():
    client = new_client()

    response = client.post("/start/?task=private", headers=BROWSER, follow=True)

    assert response.status_code == 200
    assert "Waiting" in response.text


def test_a_page_that_starts_a_job_shows_it_now_and_later():
    client = new_client()

    page = client.get("/page/")

    assert "Waiting" in page.text
    assert "Waiting" in client.get("/page/", {"id": last_job().pk}).text
    assert "Not available" in new_client().get("/page/", {"id": last_job().pk}).text


def test_a_streamed_page_whose_jobs_were_loaded_before_shows_them_now_and_later():
    client = new_client()

    page = b"".join(client.get("/streamed-page/"))  # type: ignore[call-overload]  # it iterates

    assert b"Waiting" in page
    assert sees(client, last_job().pk)


@pytest.mark.django_db(transaction=True)
def test_a_page_that_is_streamed_without_a_thread_shows_its_job():
    async def visit() -> tuple[Any, bytes]:
        response: Any = await AsyncClient(headers=JSON).get("/streamed-page-async/")
        return response, b"".join([part async for part in response])

    response, page = async_to_sync(visit)()

    assert b"Waiting" in page
    assert response.cookies["sessionid"].value


def test_later_jobs_belong_to_the_same_visitor():
    client = new_client()

    first, second = start_job(client), start_job(client)

    assert sees(client, first)
    assert sees(client, second)
    assert Session.objects.count() == 1


def test_a_request_that_shows_no_job_begins_no_session():
    client = new_client()

    client.get("/page/", {"id": private.enqueue().id})
    client.get("/page/", {"id": "gone"})
    client.get("/idle/")

    assert not client.cookies
    assert not Session.objects.exists()


def test_a_job_that_is_enqueued_but_not_shown_begins_no_session():
    client = new_client()

    client.get("/enqueue/")

    assert Job.objects.count() == 1
    assert not client.cookies
    assert not Session.objects.exists()


def test_showing_the_job_of_another_takes_it_from_nobody():
    """The request enqueues a job of its own, and shows that of somebody else, too."""
    owner, other = new_client(), new_client()
    identifier = start_job(owner)

    other.get("/enqueue/", {"id": identifier})

    assert not other.cookies
    assert not sees(other, identifier)
    assert sees(owner, identifier)


def test_a_job_for_nobody_begins_no_session():
    client = new_client()

    client.get("/page/", {"for": "nobody"})

    assert not client.cookies


def test_a_client_with_a_header_begins_no_session():
    client = new_client(Authorization="Token x")

    client.post("/start/?task=private")

    assert not client.cookies
    assert last_job().owner == ""


def test_a_visitor_who_signs_in_keeps_the_job():
    client = new_client()
    identifier = start_job(client)

    client.force_login(User.objects.create_user("ada"))

    assert sees(client, identifier)


def test_a_stale_cookie_is_replaced():
    client = new_client()
    client.cookies["sessionid"] = "expired"

    identifier = start_job(client)

    assert sees(client, identifier)


@pytest.mark.parametrize("engine", ["signed_cookies", "cache", "cached_db"])
def test_other_session_engines_do_as_well(settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client = new_client()

    identifier = start_job(client)

    assert sees(client, identifier)
    assert not sees(new_client(), identifier)


def test_staff_do_not_see_the_job_of_a_visitor():
    staff = user_client("boss", is_staff=True)

    identifier = start_job(new_client())

    assert not sees(staff, identifier)


# --- under DEBUG the element says why it shows nothing ------------------------------------------


@pytest.mark.parametrize("debug", [True, False])
def test_the_element_says_why_it_shows_nothing_only_to_developers(settings, debug):
    settings.DEBUG = debug
    identifier = start_job(new_client())

    page = new_client().get("/page/", {"id": identifier}).text

    assert "Not available" in page
    assert ("the visitor who started it has another session, or none" in page) is debug


def reason(client: Client, value: Any) -> str:
    text: str = client.get("/page/", {"id": value}).text
    return text.partition("Not available")[2].partition("</")[0]


def test_each_reason_is_said(settings):
    settings.DEBUG = True
    users_job = start_job(user_client("ada"))

    assert "another user started it" in reason(new_client(), users_job)
    assert "nobody owns it" in reason(new_client(), private.enqueue().id)
    assert "neither what enqueue() returned nor an id" in reason(new_client(), "x")
    assert "no such job" in reason(new_client(), "01a1f908-28e2-7000-961c-736c8f56c0b2")


def test_without_sessions_the_log_and_the_element_say_so(settings, caplog):
    settings.DEBUG = True
    settings.MIDDLEWARE = ["offload.middleware.OffloadMiddleware"]

    with caplog.at_level(logging.WARNING, "offload.live"):
        start_job(new_client())

    assert "Is SessionMiddleware in MIDDLEWARE?" in caplog.text
    assert "Is SessionMiddleware in MIDDLEWARE?" in reason(new_client(), last_job().pk)
