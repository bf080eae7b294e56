"""Who a job belongs to: its owner, its tenant and the id of the request that enqueued it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

SESSION_KEY = "_offload_owner"
"""Where an anonymous visitor's session keeps the name under which it owns jobs."""
LONGEST_OWNER = 128
LONGEST_TENANT = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@=+/-]{0,63}")


def owner_of(user: Any) -> str:
    """Return the name under which a user owns jobs; "" if nobody is signed in.

    Raises:
        ValueError: for a user that has not been saved.
    """
    if not user.is_authenticated:
        return ""
    pk = user.pk
    if pk is None:
        raise ValueError(f"{user!r} owns nothing before it is saved.")
    owner = f"user:{pk}"
    if len(owner) <= LONGEST_OWNER:
        return owner
    # With a beginning of its own: nobody may choose a key that reads like another one's digest.
    return f"user-sha256:{sha256(owner.encode()).hexdigest()}"


def owner_for(request: HttpRequest) -> str:
    """Return the owner of what a request enqueues: its user, else its session, else "".

    An anonymous visitor's session is given a name when it is asked for the first time. No session
    is begun for that.
    """
    if owner := _user_in(request):
        return owner
    session: Any = getattr(request, "session", None)
    if session is None:
        return ""
    name = session.get(SESSION_KEY)
    if name is None:
        if session.is_empty():
            return ""
        name = session[SESSION_KEY] = _name_for(session.session_key)
    return f"session:{name}"


def _name_for(key: str | None) -> str:
    """Return the name of a session that owns something for the first time.

    Of two first requests at once each names the session, and the one that is written last wins:
    so both get the same name from the session's key, which may change later.
    """
    if not key:
        return token_urlsafe(16)
    return salted_hmac("offload.ownership.session", key, algorithm="sha256").hexdigest()[:32]


def owners_in(request: HttpRequest) -> frozenset[str]:
    """Return all owners that a request may act as.

    A visitor who signs in keeps the session, and with it what was started before.
    """
    session: Any = getattr(request, "session", None)
    name = None if session is None else session.get(SESSION_KEY)
    owners = (_user_in(request), name and f"session:{name}")
    return frozenset(owner for owner in owners if owner)


def _user_in(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return "" if user is None else owner_of(user)


def tenant_of(request: HttpRequest, path: str) -> str:
    """Return the tenant of a request.

    Args:
        request: what is asked about.
        path: dotted path to a callable that takes the request and returns the tenant's name, as
            in OPTIONS["tenant_getter"]; "" for none.

    Raises:
        ImportError: if the path leads nowhere.
        ValueError: if the tenant's name is longer than a row can hold.
    """
    if not path:
        return ""
    tenant = str(_imported(path)(request) or "")
    if len(tenant) > LONGEST_TENANT:
        raise ValueError(
            f"{path} returned a tenant of {len(tenant)} characters; at most {LONGEST_TENANT} are "
            "allowed."
        )
    return tenant


def request_id_of(request: HttpRequest) -> str:
    """Return the id that a proxy gave to a request, else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())


@cache
def _imported(path: str) -> Callable[[HttpRequest], Any]:
    found: Callable[[HttpRequest], Any] = import_string(path)
    return found


class Origin(NamedTuple):
    """What the rows of jobs keep of whoever enqueued them."""

    owner: str = ""
    """`user:<pk>`, `session:<name>`, or "" for nobody."""
    tenant: str = ""
    request_id: str = ""
    parent: str | None = None
    """Id of the job that enqueues."""


type Source = Callable[[str], Origin]
"""From OPTIONS["tenant_getter"] to the origin: asked only when something is enqueued."""


def nobody(_tenant: str) -> Origin:
    """Return the origin of what neither a request nor a job enqueues."""
    return _NOBODY


_NOBODY = Origin()
_source: ContextVar[Source] = ContextVar("offload_origin", default=nobody)


def current_origin(tenant: str = "") -> Origin:
    """Return for whom jobs are enqueued here.

    Args:
        tenant: the backend's OPTIONS["tenant_getter"].
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
