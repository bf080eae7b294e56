"""The same-origin check of a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from offload.streams.same_origin import is_same_origin


def scope(origin: str | None, *, host: str = "localhost:8000", **fields: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode()), *fields.pop("headers", [])]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return {"type": "websocket", "path": "/tasks/ws/", "headers": headers, "scheme": "ws", **fields}


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        ("http://localhost:8000", True),
        (None, True),  # not a browser
        ("https://localhost:8000", False),
        ("http://localhost", False),
        ("http://localhost:8000.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_only_this_host_is_the_same_origin(origin, is_same):
    assert is_same_origin(scope(origin)) is is_same


def test_over_tls_the_origin_must_be_https():
    assert is_same_origin(scope("https://localhost:8000", scheme="wss"))
    assert not is_same_origin(scope("http://localhost:8000", scheme="wss"))


def test_a_proxy_can_report_tls_by_a_header():
    forwarded = scope("https://localhost:8000", headers=[(b"x-forwarded-proto", b"https")])

    assert not is_same_origin(forwarded)
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert is_same_origin(forwarded)


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
def test_csrf_trusted_origins_are_accepted(origin, is_trusted):
    assert is_same_origin(scope(origin)) is is_trusted


@override_settings(ALLOWED_HOSTS=["localhost"])
def test_a_host_that_is_not_allowed_is_refused():
    assert not is_same_origin(scope("http://evil.example", host="evil.example"))
