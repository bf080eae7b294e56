"""Limits on streams and held requests."""

from __future__ import annotations

import gc

import pytest
from django.test import override_settings

from offload.live.client_address import client_address
from offload.live.connection_limits import Client, ConnectionLimits, get_connection_limits
from offload.live.problems import Problem

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
        connections = [limits.acquire(Client("user:1"))]
        with pytest.raises(Problem, match="too-many-streams"):
            limits.acquire(Client("user:1"))
        connections.append(limits.acquire(Client("user:2")))
        with pytest.raises(Problem, match="busy"):
            limits.acquire(Client("user:3"))
    finally:
        get_connection_limits.cache_clear()


@pytest.mark.parametrize("names", ["nobody", "sessions", "tokens"])
def test_one_address_gets_a_quarter_and_visitors_get_half_of_all_connections(names):
    limits = ConnectionLimits(6, 100)

    def visitor(number: int, address: str) -> Client:
        """Return a client without a name, or each time with another one."""
        return Client(
            {"nobody": "", "sessions": f"session:{number}"}.get(names, f"token:{number}"), address
        )

    first = [limits.acquire(visitor(number, "192.0.2.1")) for number in range(25)]
    with pytest.raises(Problem, match="too-many-streams") as refused:
        limits.acquire(visitor(25, "192.0.2.1"))
    second = [limits.acquire(visitor(number, "192.0.2.2")) for number in range(30, 55)]
    with pytest.raises(Problem, match="busy"):
        limits.acquire(visitor(60, "192.0.2.3"))
    users = [limits.acquire(Client(f"user:{number}", "192.0.2.1")) for number in range(50)]
    with pytest.raises(Problem, match="busy"):
        limits.acquire(Client("user:51", "192.0.2.4"))
    for connection in [*first, *second, *users]:
        connection.close()

    assert refused.value.status == 429
    assert 5 <= int(refused.value.headers["Retry-After"]) <= 15
    assert [limits.acquire(visitor(number, "192.0.2.1")) for number in range(25)]


def test_a_connection_that_is_closed_or_deleted_no_longer_counts():
    limits = ConnectionLimits(1, 4)
    for _ in range(3):
        connection = limits.acquire(Client("session:1", "192.0.2.1"))
        connection.close()
        connection.close()
    connection = limits.acquire(Client("session:1", "192.0.2.1"))
    del connection
    gc.collect()

    limits.acquire(Client("session:1", "192.0.2.1"))


def of_header(request):
    return request.headers["X-Real-IP"]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("unix:/run/x", "unix:/run/y", False),
    ],
)
def test_an_ipv6_network_is_one_address(rf, first, second, is_same):
    found = [client_address(rf.get("/", REMOTE_ADDR=address)) for address in (first, second)]

    assert (found[0] == found[1]) is is_same


def test_the_address_may_come_from_a_header(rf):
    request = rf.get("/", headers={"X-Real-IP": " 192.0.2.7 "})
    options = {"address_getter": "tests.live.test_connection_limits.of_header"}
    backend = {"BACKEND": "offload.backends.database.DatabaseBackend", "OPTIONS": options}

    assert client_address(request) == "127.0.0.1"
    with override_settings(TASKS={"default": backend}):
        assert client_address(request) == "192.0.2.7"
