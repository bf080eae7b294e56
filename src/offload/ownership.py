"""Ownership of the jobs that code enqueues: that of its request, of its job, or of a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from offload.owners import owner_of_user
from offload.tenants import MAX_TENANT_CHARS


class Cause(NamedTuple):
    """The job in whose context another one is enqueued."""

    task_path: str
    failure_depth: int
    """How many failures in a row led to it; see `Job.failure_depth`."""
    has_succeeded: bool | None
    """Its outcome, while receivers and log handlers are called; None while it runs."""


class Ownership(NamedTuple):
    """The columns of a job that say who enqueued it."""

    owner: str = ""
    """`user:<pk>`, `session:<name>`, or "" for no owner."""
    tenant: str = ""
    request_id: str = ""
    parent: str | None = None
    """Id of the job that enqueued it."""
    cause: Cause | None = None
    """The job that enqueued it, from which `failure_depth` is computed; not a column itself."""


type OwnershipSource = Callable[[str], Ownership]
"""From OPTIONS["tenant_getter"] to the ownership; called only when a job is enqueued."""


@contextmanager
def acting_for(user: Any, *, tenant: str | None = None) -> Iterator[None]:
    """Make a user the owner of the jobs that are enqueued within a `with` block.

    Without it, jobs enqueued in a request belong to its user, and jobs enqueued by a task belong
    to the owner of its job.

        with acting_for(report.author):
            build_report.enqueue(report.pk)

    Args:
        user: the owner; None for no owner.
        tenant: the tenant; None keeps that of the surrounding request or job.

    Raises:
        TypeError: for something else than a user, or a tenant that is not text.
        ValueError: for a user that has not been saved, or a tenant longer than 64 characters.
    """
    owner = "" if user is None else owner_of_user(user)
    if tenant is not None and not isinstance(tenant, str):
        raise TypeError(f"A tenant must be text, not {tenant!r:.100}.")
    if tenant is not None and len(tenant) > MAX_TENANT_CHARS:
        raise ValueError(f"A tenant may have {MAX_TENANT_CHARS} characters, not {len(tenant)}.")
    outer_source = _source.get()

    def source(tenant_getter: str) -> Ownership:
        outer = outer_source(tenant_getter)
        return outer._replace(owner=owner, tenant=outer.tenant if tenant is None else tenant)

    with ownership_from(source):
        yield


# --- the ownership of jobs that are enqueued here -----------------------------------------------


def unowned(_tenant_getter: str) -> Ownership:
    """Return the ownership of jobs that are enqueued outside of requests and jobs."""
    return _UNOWNED


_UNOWNED = Ownership()
_source: ContextVar[OwnershipSource] = ContextVar("offload_ownership", default=unowned)


def current_ownership(tenant_getter: str = "") -> Ownership:
    """Return the ownership of jobs that are enqueued in this context.

    Args:
        tenant_getter: the backend's OPTIONS["tenant_getter"].
    """
    return _source.get()(tenant_getter)


def set_ownership_source(source: OwnershipSource) -> None:
    """Set the source for the rest of this context, which ends with the attempt."""
    _source.set(source)


@contextmanager
def ownership_from(source: OwnershipSource) -> Iterator[None]:
    """Set the source within a `with` block."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
