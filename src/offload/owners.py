"""Owners of jobs: the names under which users, and sessions of visitors, own them."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac

if TYPE_CHECKING:
    from django.http import HttpRequest

SESSION_KEY = "_offload_owner"
"""Key under which an anonymous visitor's session stores its name as an owner of jobs."""
_VISITOR_ATTRIBUTE = "_offload_visitor"
"""Attribute of a request with the name of a visitor without a session."""
MAX_OWNER_CHARS = 128
"""Characters of an owner that a row can hold."""


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


def user_of_owner(owner: str) -> Any:
    """Return the user with this name as an owner of jobs; None if there is none.

    The name of a user whose primary key is too long to be stored does not lead back to the user.
    """
    # Its module makes loggers of Django, which must not exist before LOGGING is applied.
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    kind, _, pk = owner.partition(":")
    if kind != "user":
        return None
    try:
        users = get_user_model()._default_manager  # noqa: SLF001  # as Django itself does
        return users.filter(pk=pk).first()
    except (ValueError, ValidationError):  # the project has another user model now
        return None


def owner_of_request(request: HttpRequest) -> str:
    """Return the owner of jobs that a request enqueues: its user, else its session, else "".

    The session of an anonymous visitor gets a name on first use. An empty session is not saved
    just for that: see `begin_session`.
    """
    owner = known_owner_of_request(request)
    session: Any = getattr(request, "session", None)
    if session is None or owner.startswith("user"):
        return owner
    if not owner and session.is_empty():
        return _name_visitor(request)
    owner = owner or f"session:{visitor_name(request) or token_urlsafe(16)}"
    session.setdefault(SESSION_KEY, owner.removeprefix("session:"))
    return owner


def known_owner_of_request(request: HttpRequest) -> str:
    """Return the owner of a request's user or session, without changing the session.

    It is "" for a visitor without a session, and for one whose session is new.
    """
    owner = _user_of(request)
    session: Any = getattr(request, "session", None)
    if owner or session is None:
        return owner
    name = session.get(SESSION_KEY)
    if name is None and session.session_key:
        name = _derive_name(session.session_key)
    return f"session:{name}" if name else ""


def owners_of_request(request: HttpRequest) -> frozenset[str]:
    """Return all owners that a request may act as.

    A visitor who signs in keeps the session, and with it the jobs started before.
    """
    owners = {_user_of(request)}
    session: Any = getattr(request, "session", None)
    if session is not None and session.get(SESSION_KEY):
        owners.add(f"session:{session[SESSION_KEY]}")
    return frozenset(owners - {""})


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


def _derive_name(session_key: str) -> str:
    """Return the name of a session that becomes an owner.

    It depends on the session's key only, so that concurrent first requests of a session choose
    the same name. The key may change later; the name does not.
    """
    digest = salted_hmac("offload.ownership.session", session_key, algorithm="sha256")
    return digest.hexdigest()[:32]


def _user_of(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return "" if user is None else owner_of_user(user)
