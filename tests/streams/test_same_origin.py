"""Whose page opened a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from offload.streams.same_origin import is_same_origin


def scope(origin: str | None, *, host: str = "localhost:8000", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode()), *more.pop("headers", [])]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return {"type": "websocket", "path": "/tasks/ws/", "headers": headers, "scheme": "ws", **more}


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        ("http://localhost:8000", True),
        (None, True),  # no browser
        ("https://localhost:8000", False),
        ("http://localhost", False),
        ("http://localhost:8000.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_only_pages_of_this_host_are_let_in(origin, is_ours):
    assert is_same_origin(scope(origin)) is is_ours


def test_over_tls_the_page_came_over_tls_too():
    assert is_same_origin(scope("https://localhost:8000", scheme="wss"))
    assert not is_same_origin(scope("http://localhost:8000", scheme="wss"))


def test_a_proxy_may_say_that_it_is_tls():
    told = scope("https://localhost:8000", headers=[(b"x-forwarded-proto", b"https")])

    assert not is_same_origin(told)
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert is_same_origin(told)


@override_settings(CSRF_TRUSTED_ORIGINS=["https://shop.example", "https://*.friends.example"])
@pytest.mark.parametrize(
    ("origin", "is_trusted"),
    [
        ("https://shop.example", True),
        ("https://a.friends.example", True),
        ("http://shop.example", False),
        ("http://a.friends.example", False),
        ("https://evilfriends.example", False),
        ("https://friends.example.evil.example", False),
        ("https://[", False),
    ],
)
def test_trusted_origins_are_those_of_django(origin, is_trusted):
    assert is_same_origin(scope(origin)) is is_trusted


@override_settings(ALLOWED_HOSTS=["localhost"])
def test_a_host_that_is_not_ours_is_refused():
    assert not is_same_origin(scope("http://evil.example", host="evil.example"))
