"""The id that the next job gets: of an idempotent view, the one derived from the client's key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

_reserved_id: ContextVar[list[UUID] | None] = ContextVar("offload_reserved_id", default=None)


@contextmanager
def reserve_id(identifier: UUID) -> Iterator[None]:
    """Give this id to the first job that is enqueued within a `with` block."""
    token = _reserved_id.set([identifier])
    try:
        yield
    finally:
        _reserved_id.reset(token)


def give_back_reserved_id(identifier: UUID) -> None:
    """Reserve an id again that was taken for a job and not used."""
    reserved = _reserved_id.get()
    if reserved is not None:
        reserved.append(identifier)


def take_reserved_id() -> UUID | None:
    """Return the id reserved for the next job, once; None if it may have any id."""
    reserved = _reserved_id.get()
    return reserved.pop() if reserved else None
