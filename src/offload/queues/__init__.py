"""Queues for operators: `pause` and `limit` them, and see how many of their jobs wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

if TYPE_CHECKING:
    from offload.queues.limits import limit, reset_limits
    from offload.queues.pauses import pause, resume
    from offload.queues.status import get, list  # noqa: A004

__all__ = ["get", "limit", "list", "pause", "reset_limits", "resume"]

__getattr__ = lazy_names(
    __name__,
    {
        "get": "status",
        "limit": "limits",
        "list": "status",
        "pause": "pauses",
        "reset_limits": "limits",
        "resume": "pauses",
    },
)
