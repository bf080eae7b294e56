"""Cancelling over HTTP, and who may not be tricked into it."""

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
from tests.jobs import claim, register
from tests.live.clients import BROWSER, JSON, start_job, user_client
from tests.live.test_page import text_of

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def test_a_job_that_waits_is_cancelled_at_once():
    client = user_client()
    identifier = start_job(client)

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["phase"]) == (202, "cancelled")


def test_a_job_that_runs_is_asked_to_stop():
    client = user_client()
    identifier = start_job(client)
    claim(register())

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["phase"]) == (202, "cancelling")


def test_a_job_that_is_pruned_meanwhile_is_not_found(monkeypatch):
    client = user_client()
    identifier = start_job(client)

    def prune_and_cancel(*_: Any) -> None:
        Job.objects.all().delete()

    monkeypatch.setattr(get_store("default"), "cancel", prune_and_cancel)

    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 404


def test_a_job_that_has_ended_is_not_cancelled():
    client = user_client()
    identifier = start_job(client)
    run_jobs()

    answer = client.post(f"/tasks/{identifier}/cancel/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:finished")
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "succeeded"


@pytest.mark.parametrize("has_ended", [False, True])
def test_the_form_of_a_page_without_javascript_leads_back_to_it(has_ended):
    client = user_client()
    identifier = start_job(client)
    if has_ended:
        run_jobs()

    answer = client.post(f"/tasks/{identifier}/cancel/", headers=BROWSER)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/tasks/{identifier}/page/"


def test_htmx_gets_the_fragment_of_what_was_cancelled():
    client = user_client()
    identifier = start_job(client)

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
    identifier = start_job(user_client("ada"))
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
    identifier = start_job(user_client("ada")) if known else new_id()
    careful = Client(enforce_csrf_checks=True, headers=JSON)
    careful.force_login(User.objects.get_or_create(username="ben")[0])

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 403


def test_a_token_in_a_header_needs_no_csrf_token():
    identifier = start_job(user_client())
    token = make_token([identifier], scopes=["status", "cancel"])
    careful = Client(
        enforce_csrf_checks=True, headers={**JSON, "Authorization": f"Offload {token}"}
    )

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 202


def test_a_bad_token_in_a_header_does_not_open_the_way_around_the_csrf_check():
    client = user_client()
    identifier = start_job(client)
    careful = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": "Offload x"})
    careful.force_login(client.user)  # type: ignore[attr-defined]

    assert careful.post(f"/tasks/{identifier}/cancel/").status_code == 401
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-origin", 202), ("same-site", 202), ("none", 202)],
)
def test_what_a_browser_says_is_from_another_site_is_refused(site, status):
    client = user_client()
    identifier = start_job(client)

    answer = client.post(f"/tasks/{identifier}/cancel/", headers={"Sec-Fetch-Site": site})

    assert answer.status_code == status
