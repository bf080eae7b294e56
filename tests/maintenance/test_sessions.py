"""Expired sessions are deleted in batches, whatever the session engine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone

from offload.maintenance import clear_sessions, sessions

ENGINES = "django.contrib.sessions.backends"


class Keeping(SessionStore):
    """An engine that clears in its own way."""

    @classmethod
    def clear_expired(cls) -> None:
        raise NotImplementedError


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_expired_sessions_are_deleted_in_batches(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(sessions, "BATCH_SIZE", 3)
    now = timezone.now()
    for number in range(10):
        expire_date = now + timedelta(days=1 if number < 2 else -number)
        Session.objects.create(session_key=str(number), expire_date=expire_date)

    with override_settings(SESSION_ENGINE=f"{ENGINES}.{engine}"):
        assert clear_sessions.call() == 8
        assert clear_sessions.call() == 0

    assert set(Session.objects.values_list("pk", flat=True)) == {"0", "1"}


@pytest.mark.parametrize("engine", ["signed_cookies", "cache", "file"])
def test_other_engines_clear_in_their_way(engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.{engine}"):
        assert clear_sessions.call() is None


def test_an_engine_that_cannot_clear_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{ENGINES}.signed_cookies.SessionStore", Keeping)
    with (
        override_settings(SESSION_ENGINE=f"{ENGINES}.signed_cookies"),
        pytest.raises(ImproperlyConfigured, match="signed_cookies' cannot clear"),
    ):
        clear_sessions.call()
