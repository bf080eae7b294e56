"""Paused tasks for operators: `pause`, `resume`, `get` and `list` them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

if TYPE_CHECKING:
    from offload.paused_tasks.pauses import pause, resume
    from offload.paused_tasks.status import get, list  # noqa: A004

__all__ = ["get", "list", "pause", "resume"]

__getattr__ = lazy_names(
    __name__, {"get": "status", "list": "status", "pause": "pauses", "resume": "pauses"}
)
