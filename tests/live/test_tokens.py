"""Tokens: what they grant, and when they become invalid."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core import signing
from django.test import override_settings

from offload.lifecycle import JobState
from offload.live import tokens
from offload.live.tokens import make_token
from offload.models import Job
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.live.clients import anonymous_client, is_private, start_job, token_client, user_client
from tests.live.endpoints import (
    ENDPOINTS,
    FULL_ACCESS,
    NO_ACCESS,
    READ_ACCESS,
    status_code,
    status_codes,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def finished() -> str:
    identifier = start_job(user_client("ada"), "shown", "5")
    run_jobs()
    return identifier


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["status"], {**NO_ACCESS, "status": 200, "list": 200, "page": 200}),
        (["status", "result"], READ_ACCESS),
        (["status", "result", "cancel"], FULL_ACCESS),
        (["result"], {**NO_ACCESS, "result": 200}),
        (["cancel"], {**NO_ACCESS, "cancel": 409}),
    ],
)
def test_a_token_grants_its_scopes(finished, scopes, expected):
    assert status_codes(token_client(make_token([finished], scopes=scopes)), finished) == expected


def test_a_token_grants_nothing_on_other_jobs(finished):
    other = start_job(user_client("ada"), "shown")
    client = token_client(make_token([finished], scopes=tokens.SCOPES))

    assert status_codes(client, other) == NO_ACCESS


def test_a_token_shows_no_result_that_the_task_does_not_expose():
    identifier = start_job(user_client("ada"), "private")
    run_jobs()
    client = token_client(make_token([identifier], scopes=tokens.SCOPES))

    assert status_codes(client, identifier) == {**FULL_ACCESS, "result": 404}
    assert client.get(f"/tasks/{identifier}/").json()["result"] is None


def test_a_token_adds_to_the_grants_of_the_session(finished):
    client = user_client("ada")
    other = start_job(user_client("ben"), "shown")
    header = {"Authorization": f"Offload {make_token([other])}"}

    response = client.get("/tasks/", query_params={"ids": f"{finished},{other}"}, headers=header)

    items = response.json()["items"]
    assert [item["id"] for item in items] == [finished, other]
    assert [item["links"]["cancel"] for item in items] == [None, None]
    assert items[0]["result"] == "5"


def forged(finished: str) -> Iterator[str]:
    good = make_token([finished], scopes=tokens.SCOPES)
    yield good[:-1] + ("A" if good[-1] != "A" else "B")
    yield "x" + good
    yield good.split(":", maxsplit=1)[0]
    yield signing.dumps([[finished], ["status"], None])
    yield signing.dumps([[finished], ["status"], None], salt="other")
    yield signing.dumps("status", salt=tokens.SALT)
    yield signing.dumps([["no id"], ["status"], None], salt=tokens.SALT)
    yield "ä" * 20
    yield "." * 5000


def test_a_forged_token_grants_nothing(finished):
    for token in forged(finished):
        client = token_client(token.encode().decode("latin-1"))
        for identifier in (finished, new_id()):
            for name in ENDPOINTS:
                assert status_code(client, identifier, name) == 401, (token, name)


def test_a_forged_token_is_refused_also_with_a_valid_session(finished):
    client = user_client("ada")
    response = client.get(f"/tasks/{finished}/", headers={"Authorization": "Offload x"})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Offload"
    assert response.json()["type"] == "urn:offload:token-refused"


def test_a_token_expires(finished, monkeypatch):
    client = token_client(make_token([finished], scopes=tokens.SCOPES))
    monkeypatch.setattr(tokens, "LIFETIME_SECONDS", -1)

    response = client.get(f"/tasks/{finished}/")

    assert status_codes(client, finished) == dict.fromkeys(ENDPOINTS, 401)
    assert response.json()["type"] == "urn:offload:token-expired"
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_token_stays_valid_with_the_old_secret_key_as_a_fallback(finished):
    client = token_client(make_token([finished]))
    with override_settings(SECRET_KEY="new"):
        assert status_code(client, finished, "status") == 401
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        assert status_code(client, finished, "status") == 200


def test_a_token_of_a_user_becomes_invalid_with_a_new_password(finished):
    user = User.objects.get()
    client = token_client(make_token([finished], user=user))
    assert status_code(client, finished, "status") == 200

    user.set_password("new")
    user.save()

    assert status_code(client, finished, "status") == 401


@pytest.mark.parametrize("change", [{"is_active": False}, None])
def test_a_token_of_a_user_becomes_invalid_with_the_user(finished, change):
    user = User.objects.get()
    client = token_client(make_token([finished], user=user))

    if change:
        User.objects.update(**change)
    else:
        user.delete()

    assert status_code(client, finished, "status") == 401


def test_other_authorization_schemes_are_ignored(finished):
    for header in ("Bearer x", "Basic eDp5", "Offload", "Offload "):
        response = user_client("ada").get(f"/tasks/{finished}/", headers={"Authorization": header})
        assert response.status_code == 200, header


def test_a_token_in_the_query_is_ignored(finished):
    token = make_token([finished])
    response = anonymous_client().get(f"/tasks/{finished}/", query_params={"token": token})

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("jobs", "scopes", "message"),
    [
        ([], ["status"], "1 to 100 jobs, not 0"),
        ([new_id() for _ in range(101)], ["status"], "not 101"),
        ([new_id()], [], "scopes must be some of cancel, result, status"),
        ([new_id()], ["retry"], "scopes must be"),
        (["x"], ["status"], "a list of ids, such as .*, not of 'x'"),
        ("019abf1c-0000-7000-8000-000000000001", ["status"], "a list of ids, such as .*, not '"),
    ],
)
def test_a_token_with_bad_arguments_is_not_made(jobs, scopes, message):
    with pytest.raises(ValueError, match=message):
        make_token(jobs, scopes=scopes)


@pytest.mark.parametrize("user", ["ada", 5, AnonymousUser(), User(username="unsaved")])
def test_a_token_for_something_else_than_a_saved_user_is_not_made(user):
    with pytest.raises(TypeError, match=r"user must be a saved instance of auth\.User, or None"):
        make_token([new_id()], user=user)


def test_the_scope_cancel_alone_shows_nothing():
    identifier = start_job(user_client())
    client = token_client(make_token([identifier], scopes=["cancel"]))
    response = client.post(f"/tasks/{identifier}/cancel/")

    assert (response.status_code, response.content) == (202, b"")
    assert is_private(response)
    assert Job.objects.get(pk=identifier).state == JobState.CANCELLED


def test_a_token_for_100_jobs_fits_into_a_header():
    assert len(make_token([new_id() for _ in range(100)], scopes=tokens.SCOPES)) < 7000
