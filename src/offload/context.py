"""What a running task can ask about itself, and for whom code runs, from any depth of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from offload.exceptions import OffloadError
from offload.identity import LONGEST_TENANT, owner_of

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that runs here.

    Attributes:
        id: the result's id.
        attempt: 1 for the first try.
        is_cancelled: tells whether somebody asked for the job to be cancelled.
    """

    id: str
    attempt: int
    is_cancelled: Callable[[], bool]


class Origin(NamedTuple):
    """For whom jobs are enqueued here, and by what; the rows of the jobs keep it."""

    owner: str = ""
    """`user:<pk>`, `session:<name>`, or "" for nobody."""
    tenant: str = ""
    request_id: str = ""
    parent: str | None = None
    """Id of the job that enqueues."""


type Source = Callable[[str], Origin]
"""From OPTIONS["tenant"] to the origin: asked only when something is enqueued."""

NOBODY = Origin()

_origin: ContextVar[Origin | Source] = ContextVar("offload_origin", default=NOBODY)
_current: ContextVar[CurrentJob | None] = ContextVar("offload_current_job", default=None)


def enter_job(job: CurrentJob, origin: Origin) -> None:
    """Make `current_job()` answer in this context, which ends with the attempt.

    Args:
        job: what it answers.
        origin: what the jobs that this one enqueues inherit.
    """
    _current.set(job)
    _origin.set(origin)


def current_job() -> CurrentJob:
    """Return the job that runs in this thread or coroutine.

    Raises:
        OffloadError: outside a running task.
    """
    job = _current.get()
    if job is None:
        raise OffloadError("current_job() was called outside a running task.")
    return job


def is_cancelled() -> bool:
    """Tell whether the running job should stop; False outside a task."""
    job = _current.get()
    return job is not None and job.is_cancelled()


def current_origin(tenant: str = "") -> Origin:
    """Return for whom jobs are enqueued here.

    Args:
        tenant: the backend's OPTIONS["tenant"].
    """
    origin = _origin.get()
    return origin if isinstance(origin, Origin) else origin(tenant)


@contextmanager
def enqueueing_from(origin: Origin | Source) -> Iterator[None]:
    """Enqueue from another origin within a `with` block."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


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
    around = _origin.get()

    def origin(path: str) -> Origin:
        outer = around if isinstance(around, Origin) else around(path)
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
