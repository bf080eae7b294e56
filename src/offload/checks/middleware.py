"""The check that jobs which the browser shows get owners."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import Warning  # noqa: A004
from django.urls import get_resolver
from django.utils.module_loading import import_string

from offload.checks.messages import Messages

MIDDLEWARE = "offload.middleware.OffloadMiddleware"


def check_middleware() -> Messages:
    """Check that jobs get owners if `offload.urls` is in use."""
    if _is_mounted() and not any(map(_is_middleware, settings.MIDDLEWARE)):
        yield Warning(
            "offload.urls is included in the URLs, but without OffloadMiddleware jobs have no "
            "owner: only staff can see them.",
            hint=f'Add "{MIDDLEWARE}" to MIDDLEWARE, after AuthenticationMiddleware.',
            id="offload.W014",
        )


def _is_mounted() -> bool:
    """Return whether the project includes `offload.urls`; False if its URLs cannot be imported.

    Django's own checks report a broken URLconf.
    """
    if not getattr(settings, "ROOT_URLCONF", ""):
        return False
    try:
        return "offload" in get_resolver().app_dict
    except Exception:  # noqa: BLE001  # the project's modules raise anything
        return False


def _is_middleware(path: str) -> bool:
    """Return whether a path in MIDDLEWARE is OffloadMiddleware, or a subclass."""
    try:
        middleware = import_string(path)
    except ImportError:
        return False
    bases = middleware.__mro__ if isinstance(middleware, type) else ()
    return any(f"{base.__module__}.{base.__qualname__}" == MIDDLEWARE for base in bases)
