"""Permissions on jobs: decided here for every transport."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.handlers.asgi import ASGIRequest
from django.tasks import task_backends

from offload.live.authentication import authenticate
from offload.live.client_address import client_address
from offload.live.connection_limits import Client
from offload.live.display_options import display_options
from offload.live.jobs import backend_options, find_jobs, job_database, job_result
from offload.live.tokens import Token, read_token
from offload.owners import owners_of_request
from offload.tenants import tenant_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from offload.models import Job

type Grants = frozenset[str]
"""What a request may do with a job: any of "status", "result", "cancel" and "events" (receive a
stream, which needs ASGI); none means 404."""

NO_GRANTS: Grants = frozenset()

logger = logging.getLogger("offload.live")


def grants(request: HttpRequest, job: Job) -> Grants:
    """Return what a request may do with a job.

    Raises:
        TokenRefused: if the request carries an invalid or expired token.
    """
    return Viewer(request).grants(job)


def visible(request: HttpRequest, ids: Collection[UUID]) -> dict[UUID, tuple[Job, Grants]]:
    """Return the jobs that a request may see, with its grants; one query for all of them.

    Raises:
        TokenRefused: if the request carries an invalid or expired token.
    """
    return Viewer(request).visible(ids)


class Viewer:
    """The user, session and token of a request; each is read when it is first needed.

    Raises:
        TokenRefused: if `user_getter` refuses the request.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = authenticate(request)
        self._tenants: dict[str, str] = {}

    def visible(self, ids: Collection[UUID]) -> dict[UUID, tuple[Job, Grants]]:
        """Return the jobs that the viewer may see, with the grants.

        Raises:
            TokenRefused: if the request carries an invalid or expired token.
        """
        # Everything is read before the jobs: a bad token is refused without a query, and the
        # response takes as long for a job that does not exist as for another owner's.
        token = self.token
        owners = self.owners
        self._read_tenants()
        visible = {}
        for job in find_jobs(ids).values():
            granted = self._grants(job, token, owners)
            if granted:
                visible[job.pk] = (job, granted)
        return visible

    def readable(self, ids: Collection[UUID]) -> dict[UUID, tuple[Job, Grants]]:
        """Return the jobs whose status the viewer may read, in the order of the ids.

        Raises:
            TokenRefused: if the request carries an invalid or expired token.
        """
        visible = self.visible(ids)
        return {pk: visible[pk] for pk in ids if pk in visible and "status" in visible[pk][1]}

    def grants(self, job: Job) -> Grants:
        """Return what the viewer may do with a job.

        Raises:
            TokenRefused: if the request carries an invalid or expired token.
        """
        token = self.token
        owners = self.owners if job.owner else frozenset()
        return self._grants(job, token, owners)

    def may_learn_of(self, identifier: UUID) -> bool:
        """Return whether the viewer may learn that a deleted job existed."""
        return bool(_token_scopes(self.token, identifier)) or self.has_permission("view")

    def has_permission(self, action: str) -> bool:
        """Return whether the viewer is staff with the permission to "view" or "change" jobs."""
        return self.is_staff and bool(self._user.has_perm(f"offload.{action}_job"))

    @cached_property
    def token(self) -> Token | None:
        """The token that the request carries."""
        return read_token(self._request)

    @cached_property
    def owners(self) -> frozenset[str]:
        """The names under which the viewer owns jobs."""
        return owners_of_request(self._request)

    @property
    def is_staff(self) -> bool:
        """Whether the viewer is an active user with staff status."""
        user = self._user
        return bool(user is not None and user.is_active and getattr(user, "is_staff", False))

    @property
    def client(self) -> Client:
        """The viewer, for limits on connections."""
        if self.owners:
            name = max(self.owners)  # "user:..." sorts after "session:..."
        else:
            name = self.token.holder if self.token else ""
        return Client(name, client_address(self._request))

    @property
    def _user(self) -> Any:
        return getattr(self._request, "user", None)

    @property
    def _can_stream(self) -> bool:
        # The request of Django REST framework is a wrapper.
        return isinstance(getattr(self._request, "_request", self._request), ASGIRequest)

    def _read_tenants(self) -> None:
        """Read the request's tenant in each backend, which `_tenant` keeps."""
        for alias in task_backends:
            self._tenant(alias)

    def _grants(self, job: Job, token: Token | None, owners: frozenset[str]) -> Grants:
        if self._tenant(job.backend) != job.tenant:
            return NO_GRANTS
        options = display_options(job)
        is_owner = job.owner in owners
        granted = set(_token_scopes(token, job.pk))
        if self._may_see(job, options.visibility, is_owner=is_owner):
            granted |= {"status", "result"}
            if is_owner or self.has_permission("change"):
                granted.add("cancel")
        if not options.expose_result:
            granted.discard("result")
        if "status" in granted and self._can_stream and job_database(job) is not None:
            granted.add("events")
        return frozenset(granted)

    def _may_see(self, job: Job, visibility: Any, *, is_owner: bool) -> bool:
        match visibility:
            case "owner":
                is_unowned = not job.owner
                return is_owner or (is_unowned and self.is_staff) or self.has_permission("view")
            case "staff":
                return self.is_staff
            case "authenticated":
                return self._user is not None and bool(self._user.is_authenticated)
            case "public":
                return True
            case _:
                return self._is_allowed_by(visibility, job)

    def _is_allowed_by(self, visibility: Callable[..., Any], job: Job) -> bool:
        """Return what the task's visibility function returns; False if it raises."""
        try:
            return bool(visibility(self._request, job_result(job)))
        except Exception:
            logger.exception("The visibility function of %s failed; access denied.", job.task_path)
            return False

    def _tenant(self, backend: str) -> str:
        path = backend_options(backend).tenant_getter
        if path not in self._tenants:
            self._tenants[path] = tenant_of(self._request, path)
        return self._tenants[path]


def _token_scopes(token: Token | None, identifier: UUID) -> frozenset[str]:
    """Return what a token grants on a job."""
    if token is None or identifier not in token.ids:
        return frozenset()
    return token.scopes
