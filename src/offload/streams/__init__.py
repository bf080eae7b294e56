"""The transports of live updates: server-sent events and WebSockets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.streams.websocket import StatusSocket

__all__ = ["StatusSocket"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, when Django's apps are loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.websocket"), name)
