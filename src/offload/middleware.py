"""The middleware by which jobs know whose request enqueued them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from inspect import iscoroutinefunction, markcoroutinefunction
from typing import TYPE_CHECKING, Any

from offload.ownership import Ownership, owner_of_request, ownership_from, request_id_of, tenant_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


class OffloadMiddleware:
    """Let jobs that a request enqueues belong to its user.

        MIDDLEWARE = [
            # ... SessionMiddleware, AuthenticationMiddleware ...
            "offload.middleware.OffloadMiddleware",
        ]

    It looks at user, session and tenant when a job is enqueued, and at nothing before.
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
            return self._answer(request)
        with ownership_from(RequestOwnership(request)):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        with ownership_from(RequestOwnership(request)):
            response: HttpResponseBase = await self.get_response(request)
            return response


class RequestOwnership:
    """The origin of what a request enqueues, as it is at that moment: somebody may sign in."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._last: tuple[Any, str, Ownership] | None = None

    def __call__(self, tenant: str) -> Ownership:
        request = self._request
        user = getattr(request, "user", None)
        if self._last is None or self._last[0] is not user or self._last[1] != tenant:
            origin = Ownership(
                owner_of_request(request), tenant_of(request, tenant), self._request_id
            )
            if not origin.owner:
                return origin  # a session may yet begin
            self._last = (user, tenant, origin)
        return self._last[2]

    @cached_property
    def _request_id(self) -> str:
        """The same for all jobs of the request."""
        return request_id_of(self._request)
