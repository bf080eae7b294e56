"""Authentication of clients that send the header Authorization, by OPTIONS["user_getter"]."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.getters import import_getter
from offload.live.jobs import backend_options
from offload.live.tokens import TokenRefused, has_token
from offload.owners import owner_of_user

if TYPE_CHECKING:
    from django.http import HttpRequest

AMBIENT_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})
"""Schemes whose credentials a browser adds by itself, also to requests of other sites' pages."""
REFUSALS = frozenset({401, 403})
"""Status codes of the exceptions with which frameworks refuse a client."""
_ATTRIBUTE = "_offload_authenticated"
_OF_COOKIES = ("headers", "session", "auser", "_cached_user", "_acached_user")
"""Attributes of a request that depend on its cookies, besides those that are replaced."""


def authenticate(request: HttpRequest) -> HttpRequest:
    """Return a request with the user of its header, and without its cookies and session.

    A request that the header does not authenticate is returned as it is.

    Raises:
        TokenRefused: if `user_getter` refuses the header, or the user is not active.
    """
    request = getattr(request, "_request", request)  # of Django REST framework
    path = backend_options(DEFAULT_TASK_BACKEND_ALIAS).user_getter
    if not path or "Authorization" not in request.headers or has_token(request):
        return request
    if not hasattr(request, _ATTRIBUTE):
        setattr(request, _ATTRIBUTE, _authenticate(request, path))
    authenticated: HttpRequest = getattr(request, _ATTRIBUTE)
    return authenticated


def try_to_authenticate(request: HttpRequest) -> HttpRequest:
    """Do what `authenticate` does; return a request with a refused header as it is."""
    try:
        return authenticate(request)
    except TokenRefused:
        return request


def needs_no_csrf_token(request: HttpRequest) -> bool:
    """Return whether no page of another site could have sent the request with this user.

    Raises:
        TokenRefused: as `authenticate`.
    """
    if has_token(request):
        return True
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    return scheme not in AMBIENT_SCHEMES and authenticate(request) is not request


def _authenticate(request: HttpRequest, path: str) -> HttpRequest:
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415  # needs the app registry

    # The callable sees no cookies, so that it cannot take a user from them: a request with such
    # a user would need a CSRF token.
    bare: Any = copy(request)
    for name in _OF_COOKIES:
        bare.__dict__.pop(name, None)
    bare.META = {name: value for name, value in request.META.items() if name != "HTTP_COOKIE"}
    bare.COOKIES = {}
    bare.user = AnonymousUser()
    user = _user_of(bare, path)
    if user is None or not owner_of_user(user):
        return request
    if not getattr(user, "is_active", True):
        raise TokenRefused
    bare.user = user
    authenticated: HttpRequest = bare
    return authenticated


def _user_of(request: HttpRequest, path: str) -> Any:
    try:
        return import_getter(path)(request)
    except Exception as error:
        if getattr(error, "status_code", None) in REFUSALS:
            raise TokenRefused from error
        raise
