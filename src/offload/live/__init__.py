"""The status of jobs for the users of a site, and who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

if TYPE_CHECKING:
    from offload.live.access import grants, visible
    from offload.live.document_schema import DOCUMENT_SCHEMA
    from offload.live.documents import document
    from offload.live.prefetch import prefetch_status
    from offload.live.tokens import make_token

__all__ = ["DOCUMENT_SCHEMA", "document", "grants", "make_token", "prefetch_status", "visible"]

__getattr__ = lazy_names(
    __name__,
    {
        "DOCUMENT_SCHEMA": "document_schema",
        "document": "documents",
        "grants": "access",
        "make_token": "tokens",
        "prefetch_status": "prefetch",
        "visible": "access",
    },
)
