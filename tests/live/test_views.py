"""Responses over HTTP: headers, conditional requests, lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection
from django.urls import reverse

from offload.live.tokens import make_token
from offload.models import Job
from offload.store import get_store
from offload.testing import immediate, run_jobs
from offload.uuid7 import new_id
from tests.jobs import claim, register_worker
from tests.live.clients import anonymous_client, is_private, start_job, token_client, user_client

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


# --- headers of all responses -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "page/", "result/", "cancel/"])
def test_no_response_is_stored_or_shared_by_caches(suffix):
    client = user_client()
    identifier = start_job(client, "shown")
    run_jobs()
    for requested in (identifier, new_id()):
        for method in ("get", "post", "head", "put", "options", "delete"):
            response = getattr(client, method)(f"/tasks/{requested}/{suffix}")
            assert is_private(response), (method, response.status_code)
    assert is_private(client.get("/tasks/"))
    assert is_private(client.get("/tasks/", query_params={"ids": identifier}))


@pytest.mark.parametrize("suffix", ["", "page/", "result/", "cancel/"])
def test_no_response_deletes_the_cookie_of_a_session_that_no_longer_exists(suffix, client):
    """The browser may have the cookie of a new session already, which it would delete."""
    identifier = start_job(user_client())
    client.cookies["sessionid"] = "expired"
    for method in ("get", "post"):
        response = getattr(client, method)(f"/tasks/{identifier}/{suffix}")
        assert response.status_code in {404, 405}
        assert not response.cookies


@pytest.mark.parametrize(
    ("suffix", "allowed"),
    [("", "GET, HEAD"), ("page/", "GET, HEAD"), ("result/", "GET, HEAD"), ("cancel/", "POST")],
)
def test_other_methods_change_nothing_and_the_response_lists_the_allowed_ones(suffix, allowed):
    client = user_client()
    identifier = start_job(client)
    for method in ("get", "post", "put", "patch", "delete", "options", "trace"):
        if method.upper() in allowed:
            continue
        response = getattr(client, method)(f"/tasks/{identifier}/{suffix}")
        assert response.status_code == 405
        assert response.headers["Allow"] == allowed
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


def test_a_head_is_a_get_without_a_body():
    client = user_client()
    url = f"/tasks/{start_job(client)}/"

    assert client.head(url).content == b""
    assert client.head(url).headers["ETag"] == client.get(url).headers["ETag"]


def test_a_database_error_is_reported_as_a_busy_server(monkeypatch):
    client = user_client()
    identifier = start_job(client)

    def find(*_: Any, **_options: Any) -> None:
        raise DatabaseError("no such table: offload_job")

    monkeypatch.setattr(get_store("default"), "find", find, raising=True)
    response = client.get(f"/tasks/{identifier}/")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "offload_job" not in response.text


def test_visitors_see_their_jobs_also_with_login_required_middleware(settings):
    client = anonymous_client()
    identifier = start_job(client)
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]

    for suffix in ("", "page/"):
        assert client.get(f"/tasks/{identifier}/{suffix}").status_code == 200
    assert client.get("/tasks/", query_params={"ids": identifier}).status_code == 200
    assert client.post(f"/tasks/{identifier}/cancel/").status_code == 202


@pytest.mark.django_db(transaction=True)
def test_the_views_work_with_atomic_requests(settings):
    client = user_client()
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        identifier = start_job(client)
        assert client.get(f"/tasks/{identifier}/").status_code == 200
        assert client.post(f"/tasks/{identifier}/cancel/").status_code == 202
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


# --- the state of one job -----------------------------------------------------------------------


def test_an_unchanged_job_is_answered_with_304(django_assert_num_queries):
    client = user_client()
    url = f"/tasks/{start_job(client)}/"
    first = client.get(url)

    with django_assert_num_queries(3):  # the session, its user, the job
        same = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    claim(register_worker())
    changed = client.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    assert same.headers["Retry-After"] == "1"
    assert (changed.status_code, changed.json()["version"]) == (200, 1)


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*", "strong"])
def test_all_forms_of_if_none_match_are_understood(form):
    client = user_client()
    url = f"/tasks/{start_job(client)}/"
    tag = client.get(url).headers["ETag"]
    value = tag.removeprefix("W/") if form == "strong" else form.format(tag)

    assert client.get(url, headers={"If-None-Match": value}).status_code == 304


def test_a_finished_job_has_no_retry_after():
    client = user_client()
    identifier = start_job(client, "explode", "x")
    run_jobs()

    response = client.get(f"/tasks/{identifier}/")

    assert (response.status_code, response.json()["status"]) == (200, "FAILED")
    assert "Retry-After" not in response.headers


def test_htmx_gets_a_fragment():
    client = user_client()
    identifier = start_job(client, "shown")

    response = client.get(f"/tasks/{identifier}/", headers=HTMX)

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<html" not in response.text
    assert f'action="/tasks/{identifier}/cancel/"' in response.text


# --- several jobs -------------------------------------------------------------------------------


def test_a_list_has_one_tag_for_all():
    client = user_client()
    ids = [start_job(client), start_job(client, "shown"), str(new_id())]
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
def test_a_list_needs_1_to_100_ids(ids):
    response = user_client().get("/tasks/", query_params={"ids": ids})

    assert response.status_code == 400
    assert response.json()["type"] == "urn:offload:bad-ids"


def test_a_list_may_have_100_ids():
    ids = [str(new_id()) for _ in range(100)]
    response = user_client().get("/tasks/", query_params={"ids": ",".join(ids)})

    assert response.json()["missing"] == ids


def test_a_list_without_ids_is_refused():
    client = user_client()
    start_job(client)

    assert client.get("/tasks/").status_code == 400


def test_the_failures_of_a_list_cost_one_more_query(django_assert_num_queries):
    client = user_client()
    ids = [start_job(client, "refuse", f"reason {number}") for number in range(3)]
    run_jobs()

    with django_assert_num_queries(4):
        response = client.get("/tasks/", query_params={"ids": ",".join(ids)})

    titles = [item["error"]["title"] for item in response.json()["items"]]
    assert titles == ["reason 0", "reason 1", "reason 2"]


# --- deleted jobs -------------------------------------------------------------------------------


@pytest.fixture
def pruned(settings) -> str:
    settings.TASKS = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "QUEUES": [],
            "OPTIONS": {"keep_successful": timedelta(0)},
        }
    }
    identifier = start_job(user_client("ada"))
    Job.objects.all().delete()
    return identifier


def test_a_deleted_job_is_gone_for_holders_of_its_token_and_for_staff(pruned):
    clients = [token_client(make_token([pruned])), user_client("dee", "view_job", is_staff=True)]
    for client in clients:
        for suffix in ("", "page/", "result/"):
            response = client.get(f"/tasks/{pruned}/{suffix}")
            assert response.status_code == 410
    assert response.json()["type"] == "urn:offload:gone"


def test_a_deleted_job_is_not_found_for_others(pruned):
    clients = [
        user_client("ada"),
        user_client("ben"),
        anonymous_client(),
        token_client(make_token([new_id()])),
    ]
    assert {client.get(f"/tasks/{pruned}/").status_code for client in clients} == {404}


def test_a_job_that_never_existed_is_not_found(settings):
    identifier = new_id()
    client = token_client(make_token([identifier]))

    assert client.get(f"/tasks/{identifier}/").status_code == 404
    assert client.get(f"/tasks/{UUID(int=4)}/").status_code == 404


# --- jobs in memory -----------------------------------------------------------------------------


def test_jobs_that_run_at_once_in_tests_are_shown():
    with immediate():
        client = user_client()
        identifier = start_job(client, "shown", "5")
        other = start_job(client, "refuse", "Too large.")

        responses = [client.get(f"/tasks/{each}/").json() for each in (identifier, other)]

    assert (responses[0]["phase"], responses[0]["result"]) == ("succeeded", "5")
    assert (responses[1]["phase"], responses[1]["error"]["title"]) == ("failed", "Too large.")


def test_the_names_of_the_urls():
    identifier = new_id()
    names = {
        name: reverse(f"offload:{name}", args=[identifier])
        for name in ("status", "cancel", "result", "page")
    }

    assert names["status"] == f"/tasks/{identifier}/"
    assert reverse("offload:list") == "/tasks/"
    assert len(set(names.values())) == 4
