"""A key that somebody else guesses, sees or sends again gives no access to a job."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from offload.models import Job
from offload.owners import SESSION_KEY
from tests.live.clients import anonymous_client, start_job, user_client
from tests.live.test_idempotency import key, send
from tests.owners import tenants

__all__ = ["key"]

pytestmark = pytest.mark.django_db


def csrf_client(secret: str, *, session: bool = False) -> Client:
    client = anonymous_client(session=session)
    client.cookies["csrftoken"] = secret
    return client


def disclosed(response: Any) -> str:
    """Return the id of the job that a response shows; "" for none."""
    return str(response.json().get("id", "")) or response.headers.get("Location", "")


def session_name(client: Client) -> str:
    return str(SessionStore(client.cookies["sessionid"].value).get(SESSION_KEY, ""))


@pytest.mark.parametrize("kind", ["user", "session"])
def test_a_csrf_cookie_cannot_be_the_name_of_another_holder(kind):
    victim = user_client("ada") if kind == "user" else anonymous_client()
    started = disclosed(send(victim, "order-42"))
    owner = Job.objects.get(pk=started).owner
    name = owner.partition(":")[2]
    cookies = [owner, name, f"user\n{name}", victim.cookies["sessionid"].value]

    for number, cookie in enumerate(cookies, 2):
        assert disclosed(send(csrf_client(cookie), "order-42")) != started
        assert Job.objects.count() == number


@pytest.mark.parametrize("forged", ["user:{}", "user\n{}", "{}"])
def test_a_csrf_cookie_cannot_use_up_the_key_of_a_user(forged):
    victim: Any = user_client("ada")
    send(csrf_client(forged.format(victim.user.pk)), "order-43")
    response = send(victim, "order-43")

    assert response.status_code == 202
    assert Job.objects.get(pk=disclosed(response)).owner == f"user:{victim.user.pk}"


def test_a_key_starts_a_job_in_each_tenant():
    client = user_client("ada")
    with tenants():
        responses = [
            client.post("/once/", headers={"Idempotency-Key": "invoice-1", "Host": host})
            for host in ("red.example", "blue.example", "red.example")
        ]

    red, blue, red_again = map(disclosed, responses)
    assert red == red_again != blue
    assert sorted(Job.objects.values_list("tenant", flat=True)) == ["blue", "red"]


def test_a_form_sent_again_from_another_session_does_not_hand_over_the_session(key):
    secret = "s" * 32
    victim, attacker = csrf_client(secret, session=True), csrf_client(secret, session=True)
    started, other = disclosed(send(victim, key)), start_job(victim)
    replayed = send(attacker, key)

    assert disclosed(replayed) not in {started, other}
    assert session_name(attacker) != session_name(victim)
    assert [attacker.get(f"/tasks/{pk}/").status_code for pk in (started, other)] == [404, 404]
    assert attacker.get(f"/tasks/{start_job(victim)}/").status_code == 404


@pytest.mark.parametrize("has_session", [True, False])
def test_the_form_of_a_visitor_without_a_session_is_answered_to_its_session_only(key, has_session):
    """The view creates the session; only the CSRF cookie, which the page contains, came before."""
    secret = "s" * 32
    victim, attacker = csrf_client(secret), csrf_client(secret, session=has_session)
    started = disclosed(send(victim, key, "/once/?visit=1"))
    replayed = send(attacker, key)
    again = send(victim, key)

    assert disclosed(again) == started
    assert victim.get(f"/tasks/{started}/").status_code == 200
    assert disclosed(replayed) != started
    assert attacker.get(f"/tasks/{started}/").status_code == 404
    assert replayed.status_code == (202 if has_session else 409)
    if not has_session:
        assert replayed.json()["type"] == "urn:offload:already-accepted"


def test_concurrent_first_requests_of_a_session_keep_its_name(key):
    """The second request loaded the session before the first one stored the name in it."""
    client = anonymous_client()
    started = disclosed(send(client, key))
    session = client.session
    name = session.pop(SESSION_KEY)
    session.save()
    again = send(client, key)

    assert disclosed(again) == started
    assert session_name(client) == name
    assert client.get(f"/tasks/{started}/").status_code == 200


def test_a_key_shows_no_job_that_its_sender_may_not_see(key):
    """The job belongs to the user for whom the view acted."""
    user_client("grace")
    client = user_client("ada")
    first = send(client, key, "/once/?for=grace")
    again = send(client, key, "/once/?for=grace")

    assert (first.status_code, again.status_code) == (202, 409)
    assert "title" not in again.json() or again.json()["status"] == 409
    assert Job.objects.count() == 1


def test_a_key_without_a_name_for_its_sender_is_logged(key, caplog):
    for _ in range(2):
        assert send(anonymous_client(session=False), key).status_code == 202

    assert [record.levelname for record in caplog.records if "/once/" in record.message] == [
        "WARNING",
        "WARNING",
    ]
    assert "below" in caplog.text
