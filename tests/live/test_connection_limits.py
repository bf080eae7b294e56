"""How many streams and held requests there may be."""

from __future__ import annotations

import pytest

from offload.live.connection_limits import ConnectionLimits, get_connection_limits

pytestmark = pytest.mark.django_db


def test_the_seats_are_as_many_as_the_options_say(settings):
    settings.TASKS = {
        "default": {
            "BACKEND": "offload.backends.database.DatabaseBackend",
            "OPTIONS": {"max_streams_per_user": 1, "max_streams": 2},
        }
    }
    get_connection_limits.cache_clear()
    try:
        seats = get_connection_limits()
        seats.acquire("user:1")
        with pytest.raises(Exception, match="too-many-streams"):
            seats.acquire("user:1")
        seats.acquire("user:2")
        with pytest.raises(Exception, match="busy"):
            seats.acquire("user:3")
    finally:
        get_connection_limits.cache_clear()


def test_nobody_in_particular_has_as_many_seats_as_there_are():
    seats = ConnectionLimits(1, 3)
    for _ in range(3):
        seats.acquire("")
    with pytest.raises(Exception, match="busy"):
        seats.acquire("")
    seats.release("")
    seats.acquire("")
