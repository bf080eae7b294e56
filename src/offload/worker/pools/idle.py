"""A pool that runs no jobs, for a worker that only has duties."""

from __future__ import annotations

from typing import Any

from offload.worker.pools.in_process import InProcessPool


class IdlePool(InProcessPool):
    """Takes no jobs; it has the limits and schedules of the code that this process has loaded."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "threads": 0})

    def capacity(self, *, is_async: bool) -> int:  # noqa: ARG002
        return 0

    def slots(self, *, is_async: bool) -> int:  # noqa: ARG002
        return 0

    def free_slots(self, *, is_async: bool) -> int:  # noqa: ARG002
        return 0

    def should_refill(self, *, is_async: bool) -> bool:  # noqa: ARG002
        return False
