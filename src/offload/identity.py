"""Whose a request is, as a job's row names it: an owner, a tenant and the request's id."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from uuid import uuid4

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
    return salted_hmac("offload.identity.session", key, algorithm="sha256").hexdigest()[:32]


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
            in OPTIONS["tenant"]; "" for none.

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
