"""Limits of tasks for operators: their numbers, how many jobs run and wait, and other numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

if TYPE_CHECKING:
    from offload.limits.changes import change, reset
    from offload.limits.usage import get, list, list_keys  # noqa: A004

__all__ = ["change", "get", "list", "list_keys", "reset"]

__getattr__ = lazy_names(
    __name__,
    {
        "change": "changes",
        "get": "usage",
        "list": "usage",
        "list_keys": "usage",
        "reset": "changes",
    },
)
