"""The same-origin check of WebSockets, which pages of any site can open with cookies."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

if TYPE_CHECKING:
    from offload.streams.sse import Event


def is_same_origin(scope: Event) -> bool:
    """Return whether a handshake comes from this site, or one in `CSRF_TRUSTED_ORIGINS`.

    A client without an `Origin` header is not a browser, and sends only its own cookies.
    """
    scheme = {"wss": "https"}.get(scope.get("scheme", "ws"), "http")
    request = ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        host = request.get_host()
    except DisallowedHost:
        return False
    if origin == f"{request.scheme}://{host}":
        return True
    return any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _is_trusted(origin: str, trusted: str) -> bool:
    if "*" not in trusted:
        return origin == trusted
    try:
        actual, pattern = urlsplit(origin), urlsplit(trusted.replace("*", "", 1))
    except ValueError:
        return False
    return actual.scheme == pattern.scheme and is_same_domain(actual.netloc, pattern.netloc)
