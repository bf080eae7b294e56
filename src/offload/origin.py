"""For whom jobs are enqueued here: a request's user, a job's owner, or whoever code says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from offload.identity import LONGEST_TENANT, owner_of

if TYPE_CHECKING:
    from uuid import UUID


class Origin(NamedTuple):
    """What the rows of jobs keep of whoever enqueued them."""

    owner: str = ""
    """`user:<pk>`, `session:<name>`, or "" for nobody."""
    tenant: str = ""
    request_id: str = ""
    parent: str | None = None
    """Id of the job that enqueues."""


type Source = Callable[[str], Origin]
"""From OPTIONS["tenant"] to the origin: asked only when something is enqueued."""


def nobody(_tenant: str) -> Origin:
    """Return the origin of what neither a request nor a job enqueues."""
    return _NOBODY


_NOBODY = Origin()
_source: ContextVar[Source] = ContextVar("offload_origin", default=nobody)


def current_origin(tenant: str = "") -> Origin:
    """Return for whom jobs are enqueued here.

    Args:
        tenant: the backend's OPTIONS["tenant"].
    """
    return _source.get()(tenant)


def enter_origin(source: Source) -> None:
    """Let what is enqueued in this context, which ends with the attempt at a job, come from it."""
    _source.set(source)


@contextmanager
def enqueueing_from(source: Source) -> Iterator[None]:
    """Let what is enqueued within a `with` block come from it."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


@contextmanager
def acting_for(user: Any, *, tenant: str | None = None) -> Iterator[None]:
    """Let jobs that are enqueued within a `with` block belong to a user.

    In a request they belong to its user by themselves, and in a task to the owner of its job.

        with acting_for(report.author):
            build_report.enqueue(report.pk)

    Args:
        user: who may see them; None for nobody.
        tenant: whose tenant; None leaves that of the request or job around it.

    Raises:
        ValueError: for a user that has not been saved, or a tenant longer than 64 characters.
    """
    owner = "" if user is None else owner_of(user)
    if tenant is not None and len(tenant) > LONGEST_TENANT:
        raise ValueError(f"A tenant may have {LONGEST_TENANT} characters, not {len(tenant)}.")
    around = _source.get()

    def origin(path: str) -> Origin:
        outer = around(path)
        return outer._replace(owner=owner, tenant=outer.tenant if tenant is None else tenant)

    with enqueueing_from(origin):
        yield


_reserved: ContextVar[list[UUID] | None] = ContextVar("offload_reserved", default=None)


@contextmanager
def reserving(identifier: UUID) -> Iterator[None]:
    """Give this id to the first job that is enqueued within a `with` block."""
    token = _reserved.set([identifier])
    try:
        yield
    finally:
        _reserved.reset(token)


def reserved_id() -> UUID | None:
    """Return the id that the job enqueued now must have; None for any."""
    reserved = _reserved.get()
    return reserved.pop() if reserved else None
