"""The tenant of a request, by OPTIONS["tenant_getter"]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.getters import import_getter

if TYPE_CHECKING:
    from django.http import HttpRequest

MAX_TENANT_CHARS = 64
"""Characters of a tenant that a row can hold."""


def tenant_of(request: HttpRequest, path: str) -> str:
    """Return the tenant of a request.

    Args:
        request: the request.
        path: dotted path to a callable that takes the request and returns the tenant's name, as
            in OPTIONS["tenant_getter"]; "" for none.

    Raises:
        ImportError: if the callable cannot be imported.
        ValueError: if the tenant's name is longer than a row can hold.
    """
    if not path:
        return ""
    tenant = str(import_getter(path)(request) or "")
    if len(tenant) > MAX_TENANT_CHARS:
        raise ValueError(
            f"{path} returned a tenant of {len(tenant)} characters; at most {MAX_TENANT_CHARS} are "
            "allowed."
        )
    return tenant
