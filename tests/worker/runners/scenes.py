"""A task whose code is a function of the test, for runners in the test's process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from offload import task

scenes: list[Callable[..., Awaitable[Any]]] = []
"""The functions; a job names its own by the index."""


@task
async def play(scene: int, *arguments: Any) -> Any:
    return await scenes[scene](*arguments)
