"""Work that takes a while and says how far it is."""

from __future__ import annotations

import asyncio

from audience.work import MESSAGE
from offload import progress, task


@task(visibility="public", title="Import")
async def count(steps: int, pause: float) -> None:
    """Say `steps` times how far it is, with `pause` seconds before each."""
    for number in range(1, steps + 1):
        await asyncio.sleep(pause)
        progress(number, steps, MESSAGE)
