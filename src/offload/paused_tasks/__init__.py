"""Paused tasks for operators: `pause`, `resume`, `get` and `list` them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.paused_tasks.pauses import pause, resume
    from offload.paused_tasks.status import get, list  # noqa: A004

__all__ = ["get", "list", "pause", "resume"]

_MODULES = {"get": "status", "list": "status", "pause": "pauses", "resume": "pauses"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, when Django's apps are loaded."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
