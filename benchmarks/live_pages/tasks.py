"""A task that runs for a while and reports progress."""

from __future__ import annotations

import asyncio

from live_pages.workload import MESSAGE
from offload import progress, task


@task(visibility="public", title="Import")
async def count(steps: int, pause: float) -> None:
    """Report progress `steps` times, with `pause` seconds before each."""
    for number in range(1, steps + 1):
        await asyncio.sleep(pause)
        progress(number, steps, MESSAGE)
