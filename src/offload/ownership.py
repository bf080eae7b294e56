"""Ownership of jobs: the user or session, the tenant and the id of the enqueueing request."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

SESSION_KEY = "_offload_owner"
"""Key under which an anonymous visitor's session stores its name as an owner of jobs."""
_VISITOR_ATTRIBUTE = "_offload_visitor"
"""Attribute of a request with the name of a visitor without a session."""
MAX_OWNER_CHARS = 128
"""Characters of an owner that a row can hold."""
MAX_TENANT_CHARS = 64
"""Characters of a tenant that a row can hold."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@=+/-]{0,63}")


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


_reserved_id: ContextVar[list[UUID] | None] = ContextVar("offload_reserved_id", default=None)


@contextmanager
def reserve_id(identifier: UUID) -> Iterator[None]:
    """Give this id to the first job that is enqueued within a `with` block."""
    token = _reserved_id.set([identifier])
    try:
        yield
    finally:
        _reserved_id.reset(token)


def take_reserved_id() -> UUID | None:
    """Return the id reserved for the next job, once; None if it may have any id."""
    reserved = _reserved_id.get()
    return reserved.pop() if reserved else None


# --- owner, tenant and id of a request ----------------------------------------------------------


def owner_of_user(user: Any) -> str:
    """Return the name under which a user owns jobs; "" for an anonymous user.

    Raises:
        TypeError: for something else than a user.
        ValueError: for a user that has not been saved.
    """
    if not hasattr(user, "is_authenticated"):
        raise TypeError(
            f"{user!r:.100} is not a user. Pass an instance of {settings.AUTH_USER_MODEL}, such as "
            "request.user."
        )
    if not user.is_authenticated:
        return ""
    pk = user.pk
    if pk is None:
        raise ValueError(f"{user!r} cannot own jobs before it is saved.")
    owner = f"user:{pk}"
    if len(owner) <= MAX_OWNER_CHARS:
        return owner
    # The prefix differs, so that no primary key can equal the digest of another one.
    return f"user-sha256:{sha256(owner.encode()).hexdigest()}"


def owner_of_request(request: HttpRequest) -> str:
    """Return the owner of jobs that a request enqueues: its user, else its session, else "".

    The session of an anonymous visitor gets a name on first use. An empty session is not saved
    just for that: see `begin_session`.
    """
    if owner := _user_of(request):
        return owner
    session: Any = getattr(request, "session", None)
    if session is None:
        return ""
    name = session.get(SESSION_KEY)
    if name is None:
        if session.is_empty():
            return _name_visitor(request)
        name = session[SESSION_KEY] = _name_session(request, session.session_key)
    return f"session:{name}"


def begin_session(request: HttpRequest, owners: Collection[str]) -> None:
    """Begin the session of a visitor without one, if jobs of this request are shown to it.

    Only jobs that this request has enqueued have the visitor's name as their owner.

    Args:
        request: the request that enqueued the jobs.
        owners: the owners of the jobs that are shown.
    """
    name = visitor_name(request)
    if name and f"session:{name}" in owners:
        session: Any = request.session
        session.setdefault(SESSION_KEY, name)


def visitor_name(request: HttpRequest) -> str:
    """Return the name of a visitor who enqueued jobs in this request without a session, or ""."""
    name: str = getattr(request, _VISITOR_ATTRIBUTE, "")
    return name


def _name_visitor(request: HttpRequest) -> str:
    """Return the owner of the jobs of a visitor without a session; it may begin one later.

    A client that authenticates by a header keeps no cookies.
    """
    if "Authorization" in request.headers:
        return ""
    name = visitor_name(request)
    if not name:
        name = token_urlsafe(16)
        setattr(request, _VISITOR_ATTRIBUTE, name)
    return f"session:{name}"


def known_owner_of_request(request: HttpRequest) -> str:
    """Return the owner of a request's user or session, without changing the session.

    It is "" for a visitor without a session, and for one whose session is new.
    """
    if owner := _user_of(request):
        return owner
    session: Any = getattr(request, "session", None)
    if session is None:
        return ""
    name = session.get(SESSION_KEY)
    if name is None and session.session_key:
        name = _name_session(request, session.session_key)
    return f"session:{name}" if name else ""


def _name_session(request: HttpRequest, session_key: str | None) -> str:
    """Return the name of a session that becomes an owner.

    It is derived from the session's key, so that concurrent first requests of a session choose
    the same name. The key may change later; the name does not.
    """
    if not session_key:
        return visitor_name(request) or token_urlsafe(16)
    digest = salted_hmac("offload.ownership.session", session_key, algorithm="sha256")
    return digest.hexdigest()[:32]


def owners_of_request(request: HttpRequest) -> frozenset[str]:
    """Return all owners that a request may act as.

    A visitor who signs in keeps the session, and with it the jobs started before.
    """
    owners = {_user_of(request)}
    session: Any = getattr(request, "session", None)
    if session is not None and session.get(SESSION_KEY):
        owners.add(f"session:{session[SESSION_KEY]}")
    return frozenset(owners - {""})


def _user_of(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return "" if user is None else owner_of_user(user)


def tenant_of(request: HttpRequest, path: str) -> str:
    """Return the tenant of a request.

    Args:
        request: the request.
        path: dotted path to a callable that takes the request and returns the tenant's name, as
            in OPTIONS["tenant_getter"]; "" for none.

    Raises:
        ImportError: if the callable cannot be imported.
        ValueError: if the tenant's name is longer than a row can hold.
    """
    if not path:
        return ""
    tenant = str(import_getter(path)(request) or "")
    if len(tenant) > MAX_TENANT_CHARS:
        raise ValueError(
            f"{path} returned a tenant of {len(tenant)} characters; at most {MAX_TENANT_CHARS} are "
            "allowed."
        )
    return tenant


@cache
def import_getter(path: str) -> Callable[[HttpRequest], Any]:
    """Return the callable at a path in the options.

    Raises:
        ImportError: if it cannot be imported.
    """
    getter: Callable[[HttpRequest], Any] = import_string(path)
    return getter


def request_id_of(request: HttpRequest) -> str:
    """Return the id that a proxy gave to a request, or a new one."""
    request_id = request.headers.get("X-Request-ID", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid4())
