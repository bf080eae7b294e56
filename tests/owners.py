"""Owners and tenants of the jobs of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import override_settings

from offload.models import Job

NO_CALLABLE = "acme"


def owner_and_tenant(**where: Any) -> tuple[str, str]:
    """Return the owner and the tenant of the only job that matches."""
    job = Job.objects.get(**where)
    return job.owner, job.tenant


@contextmanager
def tenants(path: str = "tests.owners.by_host") -> Iterator[None]:
    """Configure tenants within a `with` block."""
    options = {"BACKEND": "offload.backends.database.DatabaseBackend", "QUEUES": []}
    with override_settings(
        TASKS={"default": {**options, "OPTIONS": {"tenant_getter": path}}}, ALLOWED_HOSTS=["*"]
    ):
        yield


def by_host(request: HttpRequest) -> str:
    return request.get_host().partition(".")[0]


def by_header(request: HttpRequest) -> User | None:
    """Return the user whose name is in the header."""
    name = request.headers["Authorization"].removeprefix("Name ")
    return User.objects.filter(username=name).first()


def by_length(request: HttpRequest) -> str:
    return "x" * 65
