"""Cancelling over HTTP, and its protection against cross-site requests."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from offload.live.tokens import make_token
from offload.models import Job
from offload.store import get_store
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.jobs import claim, register_worker
from tests.live.clients import BROWSER, JSON, start_job, user_client
from tests.live.test_page import text_of

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def test_a_ready_job_is_cancelled_at_once():
    client = user_client()
    identifier = start_job(client)

    response = client.post(f"/tasks/{identifier}/cancel/")

    assert (response.status_code, response.json()["phase"]) == (202, "cancelled")


def test_cancelling_a_running_job_is_requested():
    client = user_client()
    identifier = start_job(client)
    claim(register_worker())

    response = client.post(f"/tasks/{identifier}/cancel/")

    assert (response.status_code, response.json()["phase"]) == (202, "cancelling")


def test_a_job_that_is_pruned_in_between_is_not_found(monkeypatch):
    client = user_client()
    identifier = start_job(client)

    def prune_and_cancel(*_: Any) -> None:
        Job.objects.all().delete()

    monkeypatch.setattr(get_store("default"), "cancel", prune_and_cancel)

    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 404


def test_a_finished_job_is_not_cancelled():
    client = user_client()
    identifier = start_job(client)
    run_jobs()

    response = client.post(f"/tasks/{identifier}/cancel/")

    assert (response.status_code, response.json()["type"]) == (409, "urn:offload:finished")
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "succeeded"


@pytest.mark.parametrize("is_finished", [False, True])
def test_the_form_of_a_page_without_javascript_redirects_to_the_page(is_finished):
    client = user_client()
    identifier = start_job(client)
    if is_finished:
        run_jobs()

    response = client.post(f"/tasks/{identifier}/cancel/", headers=BROWSER)

    assert response.status_code == 303
    assert response.headers["Location"] == f"/tasks/{identifier}/page/"


def test_htmx_gets_the_fragment_of_the_cancelled_job():
    client = user_client()
    identifier = start_job(client)

    response = client.post(f"/tasks/{identifier}/cancel/", headers=HTMX)

    assert 'data-phase="cancelled"' in response.text


MIDDLEWARE_WITHOUT_CSRF = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "offload.middleware.OffloadMiddleware",
]


class PageForm(HTMLParser):
    """The action and the fields of a page's form."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        values = dict(attributes)
        if tag == "form":
            self.action = values["action"]
        elif tag == "input":
            self.fields[values["name"]] = values["value"]


@pytest.mark.parametrize("middleware", ["with CSRF", "without"])
@pytest.mark.parametrize("setting", ["CSRF_USE_SESSIONS", "CSRF_COOKIE_HTTPONLY"])
def test_only_the_form_with_a_csrf_token_is_accepted(middleware, setting, settings):
    setattr(settings, setting, True)
    client: Any = Client(enforce_csrf_checks=True, headers=JSON)
    user = User.objects.create_user("ada")
    client.force_login(user)
    identifier = start_job(user_client("ada"))
    if middleware == "without":
        settings.MIDDLEWARE = MIDDLEWARE_WITHOUT_CSRF
    url = f"/tasks/{identifier}/cancel/"

    without = client.post(url)
    form = PageForm(text_of(client.get(f"/tasks/{identifier}/page/")))
    wrong = client.post(form.action, {"csrfmiddlewaretoken": "x" * 64})
    right = client.post(form.action, form.fields)

    assert (without.status_code, wrong.status_code) == (403, 403)
    assert (right.status_code, right.json()["phase"]) == (202, "cancelled")


@pytest.mark.parametrize("known", [True, False])
def test_without_a_csrf_token_the_response_does_not_reveal_whether_a_job_exists(known):
    identifier = start_job(user_client("ada")) if known else new_id()
    client = Client(enforce_csrf_checks=True, headers=JSON)
    client.force_login(User.objects.get_or_create(username="ben")[0])

    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 403


def test_a_token_in_a_header_needs_no_csrf_token():
    identifier = start_job(user_client())
    token = make_token([identifier], scopes=["status", "cancel"])
    client = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": f"Offload {token}"})

    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 202


def test_an_invalid_token_in_a_header_does_not_bypass_the_csrf_check():
    owner = user_client()
    identifier = start_job(owner)
    client = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": "Offload x"})
    client.force_login(owner.user)  # type: ignore[attr-defined]

    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 401
    assert owner.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-origin", 202), ("same-site", 202), ("none", 202)],
)
def test_cross_site_requests_are_refused(site, status):
    client = user_client()
    identifier = start_job(client)

    response = client.post(f"/tasks/{identifier}/cancel/", headers={"Sec-Fetch-Site": site})

    assert response.status_code == status
