"""Whether a WebSocket was opened by a page of this site: browsers let any page open one."""

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
    """Tell whether the page is of this host, or of one in CSRF_TRUSTED_ORIGINS.

    Who sends no `Origin` is no browser, and has no cookies that are not its own.
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
    return origin == f"{request.scheme}://{host}" or any(
        _matches(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS
    )


def _matches(origin: str, trusted: str) -> bool:
    if "*" not in trusted:
        return origin == trusted
    try:
        given, pattern = urlsplit(origin), urlsplit(trusted.replace("*", "", 1))
    except ValueError:
        return False
    return given.scheme == pattern.scheme and is_same_domain(given.netloc, pattern.netloc)
