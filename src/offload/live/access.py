"""Who may see a job: the one place that decides, for every transport."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks import task_backends

from offload.live.jobs import backend_options, find_jobs, job_result
from offload.live.task_options import job_visibility, result_exposure
from offload.live.tokens import Token, read_token
from offload.ownership import owners_of_request, tenant_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from offload.models import Job

type Grants = frozenset[str]
"""What may be done with a job: some of "status", "result" and "cancel"; nothing means 404."""

NO_GRANTS: Grants = frozenset()

logger = logging.getLogger("offload.live")


def grants(request: HttpRequest, job: Job) -> Grants:
    """Return what a request may do with a job.

    Raises:
        TokenRefused: if it carries a token that is not, or no longer, good.
    """
    return Viewer(request).grants(job)


def visible(request: HttpRequest, ids: Collection[UUID]) -> dict[UUID, tuple[Job, Grants]]:
    """Return those of the jobs that a request may see, with what it may do; one query for all.

    Raises:
        TokenRefused: if it carries a token that is not, or no longer, good.
    """
    return Viewer(request).visible(ids)


class Viewer:
    """Somebody who looks: user, session and token of a request, each read when it is needed."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._tenants: dict[str, str] = {}

    def visible(self, ids: Collection[UUID]) -> dict[UUID, tuple[Job, Grants]]:
        """Do what the function of this name does."""
        # A bad token is refused before anything is looked up. For a job that is not there as much
        # is read as for one that is somebody else's, so that time does not tell them apart.
        _ = self.token, self.owners, [self._tenant(alias) for alias in task_backends]
        seen = ((job, self.grants(job)) for job in find_jobs(ids).values())
        return {job.pk: (job, granted) for job, granted in seen if granted}

    def grants(self, job: Job) -> Grants:
        """Do what the function of this name does."""
        token = self.token
        if self._tenant(job.backend) != job.tenant:
            return NO_GRANTS
        granted = set(token.scopes) if token is not None and job.pk in token.ids else set()
        owns = bool(job.owner) and job.owner in self.owners
        if self._sees(job, owns=owns):
            granted |= {"status", "result"}
            if owns or self.may("change"):
                granted.add("cancel")
        if "result" in granted and not result_exposure(job):
            granted.remove("result")
        return frozenset(granted)

    def may_know_of(self, identifier: UUID) -> bool:
        """Tell whether the viewer may learn that a job, now gone, was there."""
        token = self.token
        return (token is not None and identifier in token.ids) or self.may("view")

    def may(self, action: str) -> bool:
        """Tell whether the viewer is staff with Django's permission to view or change all jobs."""
        user = self._user
        return self.is_staff and bool(user.has_perm(f"offload.{action}_job"))

    @cached_property
    def token(self) -> Token | None:
        return read_token(self._request)

    @cached_property
    def owners(self) -> frozenset[str]:
        """The names under which the viewer owns jobs."""
        return owners_of_request(self._request)

    @property
    def is_staff(self) -> bool:
        user = self._user
        return bool(user is not None and user.is_active and getattr(user, "is_staff", False))

    @property
    def holder(self) -> str:
        """Who the viewer is, for limits; "" for an unknown one."""
        return max(self.owners, default=self.token.holder if self.token else "")

    @property
    def _user(self) -> Any:
        return getattr(self._request, "user", None)

    def _sees(self, job: Job, *, owns: bool) -> bool:
        match job_visibility(job):
            case "owner":
                return owns or (not job.owner and self.is_staff) or self.may("view")
            case "staff":
                return self.is_staff
            case "authenticated":
                return self._user is not None and bool(self._user.is_authenticated)
            case "public":
                return True
            case decides:
                return self._is_let_in(decides, job)

    def _is_let_in(self, decides: Any, job: Job) -> bool:
        """Ask the task's author; who fails to answer lets nobody in."""
        try:
            return bool(decides(self._request, job_result(job)))
        except Exception:
            logger.exception("The visibility of %s could not be decided.", job.task_path)
            return False

    def _tenant(self, backend: str) -> str:
        path = backend_options(backend).tenant_getter
        if path not in self._tenants:
            self._tenants[path] = tenant_of(self._request, path)
        return self._tenants[path]
