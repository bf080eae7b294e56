"""Middleware that makes the user of a request the owner of the jobs it enqueues."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import cached_property
from inspect import iscoroutinefunction, markcoroutinefunction
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from offload.live.authentication import try_to_authenticate
from offload.owners import owner_of_request
from offload.ownership import Ownership, ownership_from
from offload.tenants import tenant_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@=+/-]{0,63}")


class OffloadMiddleware:
    """Makes the user, or the session, of a request the owner of the jobs it enqueues.

        MIDDLEWARE = [
            # ... SessionMiddleware, AuthenticationMiddleware ...
            "offload.middleware.OffloadMiddleware",
        ]

    User, session and tenant are read when a job is enqueued, and not before.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._call_async(request)
        with ownership_from(RequestOwnership(request)):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with ownership_from(RequestOwnership(request)):
            response: HttpResponseBase = await self.get_response(request)
            return response


class RequestOwnership:
    """The ownership of jobs that a request enqueues; it changes when a user signs in."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._last: tuple[Any, str, Ownership] | None = None

    def __call__(self, tenant_getter: str) -> Ownership:
        request = try_to_authenticate(self._request)
        user = getattr(request, "user", None)
        if self._last is not None:
            last_user, last_tenant_getter, ownership = self._last
            if last_user is user and last_tenant_getter == tenant_getter:
                return ownership
        owner = owner_of_request(request)
        tenant = tenant_of(request, tenant_getter)
        ownership = Ownership(owner, tenant, self._request_id)
        if owner:  # otherwise a session may start later in the request
            self._last = (user, tenant_getter, ownership)
        return ownership

    @cached_property
    def _request_id(self) -> str:
        """The id that a proxy gave to the request, or a new one; the same for all its jobs."""
        request_id = self._request.headers.get("X-Request-ID", "")
        return request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid4())
