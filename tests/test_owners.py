"""The names under which users and sessions own jobs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory

from offload.owners import (
    MAX_OWNER_CHARS,
    known_owner_of_request,
    owner_of_request,
    owner_of_user,
    user_of_owner,
)


def test_an_owner_with_a_long_key_is_a_digest():
    owner = owner_of_user(User(pk="x" * 200))

    assert owner.startswith("user-sha256:")
    assert len(owner) <= MAX_OWNER_CHARS


@pytest.mark.django_db
@pytest.mark.parametrize(
    "owner",
    [
        pytest.param("", id="none"),
        pytest.param("session:1", id="a visitor"),
        pytest.param("user:2000000000", id="a deleted user"),
        pytest.param("user:f81d4fae-7dec-11d0", id="a user of another model"),
        pytest.param("user-sha256:1", id="a long key"),
    ],
)
def test_other_owners_are_no_user(owner):
    assert user_of_owner(owner) is None


@pytest.mark.django_db
def test_two_first_requests_of_a_session_at_once_have_one_owner():
    request = RequestFactory().get("/")
    stored = Client().session
    stored["basket"] = [1]
    stored.save()
    owners = set()
    for _ in range(2):
        request.session = type(stored)(stored.session_key)
        owners.add(owner_of_request(request))  # the second starts before the first is saved

    assert len(owners) == 1
    assert stored.session_key not in owners.pop()


@pytest.mark.django_db
def test_a_session_is_known_by_the_name_that_it_will_have():
    request = RequestFactory().get("/")
    request.session = SessionStore()
    assert known_owner_of_request(request) == ""
    request.session["basket"] = [1]
    request.session.save()

    known = known_owner_of_request(request)

    assert list(request.session.keys()) == ["basket"]
    assert owner_of_request(request) == known == known_owner_of_request(request) != ""
