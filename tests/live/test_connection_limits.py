"""Limits on streams and held requests."""

from __future__ import annotations

import pytest

from offload.live.connection_limits import ConnectionLimits, get_connection_limits

pytestmark = pytest.mark.django_db


def test_the_limits_are_those_of_the_options(settings):
    settings.TASKS = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "OPTIONS": {"max_streams_per_user": 1, "max_streams": 2},
        }
    }
    get_connection_limits.cache_clear()
    try:
        limits = get_connection_limits()
        limits.acquire("user:1")
        with pytest.raises(Exception, match="too-many-streams"):
            limits.acquire("user:1")
        limits.acquire("user:2")
        with pytest.raises(Exception, match="busy"):
            limits.acquire("user:3")
    finally:
        get_connection_limits.cache_clear()


def test_unknown_clients_are_limited_by_the_total_only():
    limits = ConnectionLimits(1, 3)
    for _ in range(3):
        limits.acquire("")
    with pytest.raises(Exception, match="busy"):
        limits.acquire("")
    limits.release("")
    limits.acquire("")
