"""Schedules: tasks that are enqueued by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

if TYPE_CHECKING:
    from offload.schedules.changes import change, create
    from offload.schedules.stored import StoredSchedule, get, list  # noqa: A004

__all__ = ["StoredSchedule", "change", "create", "get", "list"]

__getattr__ = lazy_names(
    __name__,
    {
        "StoredSchedule": "stored",
        "change": "changes",
        "create": "changes",
        "get": "stored",
        "list": "stored",
    },
)
