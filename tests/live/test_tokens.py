"""Tokens: what they open, and when they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import override_settings

from offload.live import tokens
from offload.live.tokens import make_token
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.live.clients import anonymous_client, start_job, token_client, user_client
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
def test_a_token_opens_what_its_scopes_say(finished, scopes, expected):
    assert status_codes(token_client(make_token([finished], scopes=scopes)), finished) == expected


def test_a_token_opens_no_other_job(finished):
    other = start_job(user_client("ada"), "shown")
    client = token_client(make_token([finished], scopes=tokens.SCOPES))

    assert status_codes(client, other) == NO_ACCESS


def test_a_token_shows_no_result_that_the_task_does_not_expose():
    identifier = start_job(user_client("ada"), "private")
    run_jobs()
    client = token_client(make_token([identifier], scopes=tokens.SCOPES))

    assert status_codes(client, identifier) == {**FULL_ACCESS, "result": 404}
    assert client.get(f"/tasks/{identifier}/").json()["result"] is None


def test_a_token_adds_to_what_the_session_allows(finished):
    client = user_client("ada")
    other = start_job(user_client("ben"), "shown")
    header = {"Authorization": f"Offload {make_token([other])}"}

    answer = client.get("/tasks/", query_params={"ids": f"{finished},{other}"}, headers=header)

    items = answer.json()["items"]
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


def test_a_forged_token_opens_nothing(finished):
    for token in forged(finished):
        client = token_client(token.encode().decode("latin-1"))
        for identifier in (finished, new_id()):
            for name in ENDPOINTS:
                assert status_code(client, identifier, name) == 401, (token, name)


def test_a_forged_token_is_refused_also_beside_a_good_session(finished):
    client = user_client("ada")
    answer = client.get(f"/tasks/{finished}/", headers={"Authorization": "Offload x"})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Offload"
    assert answer.json()["type"] == "urn:offload:token-refused"


def test_a_token_expires(finished, monkeypatch):
    client = token_client(make_token([finished], scopes=tokens.SCOPES))
    monkeypatch.setattr(tokens, "LIFETIME_SECONDS", -1)

    answer = client.get(f"/tasks/{finished}/")

    assert status_codes(client, finished) == dict.fromkeys(ENDPOINTS, 401)
    assert answer.json()["type"] == "urn:offload:token-expired"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_token_outlives_the_change_of_the_secret_key_if_the_settings_keep_the_old_one(finished):
    client = token_client(make_token([finished]))
    with override_settings(SECRET_KEY="new"):
        assert status_code(client, finished, "status") == 401
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        assert status_code(client, finished, "status") == 200


def test_a_token_of_a_user_ends_with_the_password(finished):
    user = User.objects.get()
    client = token_client(make_token([finished], user=user))
    assert status_code(client, finished, "status") == 200

    user.set_password("new")
    user.save()

    assert status_code(client, finished, "status") == 401


@pytest.mark.parametrize("change", [{"is_active": False}, None])
def test_a_token_of_a_user_ends_with_the_user(finished, change):
    user = User.objects.get()
    client = token_client(make_token([finished], user=user))

    if change:
        User.objects.update(**change)
    else:
        user.delete()

    assert status_code(client, finished, "status") == 401


def test_other_kinds_of_authorization_are_not_ours(finished):
    for header in ("Bearer x", "Basic eDp5", "Offload", "Offload "):
        answer = user_client("ada").get(f"/tasks/{finished}/", headers={"Authorization": header})
        assert answer.status_code == 200, header


def test_a_token_in_the_query_is_no_token(finished):
    token = make_token([finished])
    answer = anonymous_client().get(f"/tasks/{finished}/", query_params={"token": token})

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("jobs", "scopes", "message"),
    [
        ([], ["status"], "1 to 100 jobs, not 0"),
        ([new_id() for _ in range(101)], ["status"], "not 101"),
        ([new_id()], [], "scopes must be some of cancel, result, status"),
        ([new_id()], ["retry"], "scopes must be"),
        (["x"], ["status"], "hexadecimal"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(jobs, scopes, message):
    with pytest.raises(ValueError, match=message):
        make_token(jobs, scopes=scopes)


def test_a_token_for_many_jobs_fits_into_a_header():
    assert len(make_token([new_id() for _ in range(100)], scopes=tokens.SCOPES)) < 7000
