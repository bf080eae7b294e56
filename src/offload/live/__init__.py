"""The status of jobs for the users of a site, and who may see it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.live.access import grants, visible
    from offload.live.document_schema import DOCUMENT_SCHEMA
    from offload.live.documents import document
    from offload.live.prefetch import prefetch_status
    from offload.live.tokens import make_token

__all__ = ["DOCUMENT_SCHEMA", "document", "grants", "make_token", "prefetch_status", "visible"]

_MODULES = {
    "DOCUMENT_SCHEMA": "document_schema",
    "document": "documents",
    "grants": "access",
    "make_token": "tokens",
    "prefetch_status": "prefetch",
    "visible": "access",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, when Django's apps are loaded."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
