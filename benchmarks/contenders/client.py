"""The enqueuing process of a contender: `python client.py MODULE`, one JSON request a line.

A module has these functions, either all plain or all async:

    prepare()                  make the tables, once, in an empty store
    open()                     connect
    enqueue(kind, sent, text)  enqueue one job and return something to wait for
    enqueue_many(kinds, sent)  enqueue one job of each kind in the quickest way
    wait(handle)               return when the result can be seen
    unfinished()               how many jobs have not ended
    transaction()              a context manager, or the module has none
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import random
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

ENOUGH_SECONDS = 15
NANOSECONDS = 1e9


class Client:
    """Answers requests with numbers."""

    def __init__(self, module: Any) -> None:
        self._module = module

    async def _call(self, name: str, *arguments: Any) -> Any:
        answer = getattr(self._module, name)(*arguments)
        # Not anything that can be awaited: a result may be, and means to wait for the job.
        return await answer if inspect.iscoroutine(answer) else answer

    async def prepare(self) -> None:
        await self._call("prepare")

    async def open(self) -> None:
        await self._call("open")

    async def unfinished(self) -> int:
        return int(await self._call("unfinished"))

    async def enqueue(self, *, count: int, transaction: bool) -> list[float] | None:
        """Return the seconds that each call took."""
        if transaction and not hasattr(self._module, "transaction"):
            return None
        block = self._module.transaction() if transaction else nullcontext()
        with block:
            return [(await self._timed("enqueue", "noop", time.time_ns()))[0] for _ in range(count)]

    async def enqueue_many(self, *, kinds: list[str], count: int, chunk: int) -> float:
        """Return the seconds that all calls took."""
        took = 0.0
        for start in range(0, count, chunk):
            part = [kinds[n % len(kinds)] for n in range(start, min(start + chunk, count))]
            took += (await self._timed("enqueue_many", part, time.time_ns()))[0]
        return took

    async def trickle(self, *, count: int, low: float, high: float) -> None:
        """Enqueue at random moments."""
        pause = threading.Event()
        for _ in range(count):
            pause.wait(random.uniform(low, high))
            await self._call("enqueue", "noop", time.time_ns(), "")

    async def results(self, *, count: int) -> list[float]:
        """Return the seconds from each enqueue until its result was seen."""
        seconds: list[float] = []
        start = time.perf_counter()
        while len(seconds) < count and time.perf_counter() - start < ENOUGH_SECONDS:
            begun = time.perf_counter()
            await self._call("wait", await self._call("enqueue", "noop", time.time_ns(), ""))
            seconds.append(time.perf_counter() - begun)
        return seconds

    async def big(self, *, count: int, size: int) -> list[float]:
        """Return the seconds that enqueueing a long text took, waiting for each job's end."""
        seconds = []
        for _ in range(count):
            took, handle = await self._timed("enqueue", "big", time.time_ns(), "x" * size)
            await self._call("wait", handle)
            seconds.append(took)
        return seconds

    async def _timed(self, name: str, *arguments: Any) -> tuple[float, Any]:
        if name == "enqueue" and len(arguments) == 2:
            arguments = (*arguments, "")
        call = getattr(self._module, name)
        begun = time.perf_counter_ns()
        answer = call(*arguments)
        if inspect.iscoroutine(answer):
            answer = await answer
        return (time.perf_counter_ns() - begun) / NANOSECONDS, answer


async def serve(client: Client) -> None:
    """Answer until there are no more requests."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = await getattr(client, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends, without an event loop around blocking calls."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("A plain module suspended.")


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    served = serve(Client(module))
    if inspect.iscoroutinefunction(module.enqueue):
        asyncio.run(served)
    else:
        drive(served)


if __name__ == "__main__":
    main()
