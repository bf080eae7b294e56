"""The process of a contender that enqueues: `python client.py MODULE`, one JSON request per line.

A module has these functions, either all sync or all async:

    prepare()                  create the tables, once, in an empty store
    open()                     connect
    enqueue(kind, sent, text)  enqueue one job and return a handle for wait()
    enqueue_many(kinds, sent)  enqueue one job of each kind in the fastest way
    wait(handle)               return when the result is available
    unfinished()               return the number of unfinished jobs
    transaction()              optional: return a context manager
    chord(size)                optional: run jobs at once, and one that gets their results;
                               return when its own is available

The modules of `coordination.py` have prepare(), open() and a function for each stage that their
queue can run, with the stage's sizes as arguments:

    chain(length)              enqueue jobs of which each starts after the one before
    fan_in(width)              enqueue jobs that run at once, and one after all of them
    limits(keys, per_key)      enqueue jobs of which one per key may run at a time
    schedules(count, period)   create schedules that run a job every so many seconds
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

MAX_RESULTS_SECONDS = 15
NANOSECONDS = 1e9


class Client:
    """The methods that a request can call."""

    def __init__(self, module: Any) -> None:
        self._module = module

    async def _call(self, name: str, *arguments: Any) -> Any:
        answer = getattr(self._module, name)(*arguments)
        # Other awaitables are results, and awaiting those would wait for the job.
        return await answer if inspect.iscoroutine(answer) else answer

    async def prepare(self) -> None:
        await self._call("prepare")

    async def open(self) -> None:
        await self._call("open")

    async def unfinished(self) -> int:
        return int(await self._call("unfinished"))

    async def enqueue(self, *, count: int, transaction: bool) -> list[float] | None:
        """Return the seconds of each call, or None without support for transactions."""
        if transaction and not hasattr(self._module, "transaction"):
            return None
        block = self._module.transaction() if transaction else nullcontext()
        with block:
            return [(await self._timed("enqueue", "noop", time.time_ns()))[0] for _ in range(count)]

    async def enqueue_many(self, *, kinds: list[str], count: int, chunk: int) -> float:
        """Return the seconds of all calls together."""
        total = 0.0
        for start in range(0, count, chunk):
            part = [kinds[n % len(kinds)] for n in range(start, min(start + chunk, count))]
            seconds, _ = await self._timed("enqueue_many", part, time.time_ns())
            total += seconds
        return total

    async def trickle(self, *, count: int, low: float, high: float) -> None:
        """Enqueue single jobs with random pauses."""
        pause = threading.Event()
        for _ in range(count):
            pause.wait(random.uniform(low, high))
            await self._call("enqueue", "noop", time.time_ns(), "")

    async def results(self, *, count: int) -> list[float]:
        """Return the seconds from each enqueue call until its result is available."""
        seconds: list[float] = []
        start = time.perf_counter()
        while len(seconds) < count and time.perf_counter() - start < MAX_RESULTS_SECONDS:
            sent = time.perf_counter()
            await self._call("wait", await self._call("enqueue", "noop", time.time_ns(), ""))
            seconds.append(time.perf_counter() - sent)
        return seconds

    async def chord(self, *, size: int) -> float | None:
        """Return the seconds until the result is available; None without support."""
        if not hasattr(self._module, "chord"):
            return None
        seconds, count = await self._timed("chord", size)
        if count != size:
            raise RuntimeError(f"The last job got {count} results, not {size}.")
        return seconds

    async def big(self, *, count: int, size: int) -> list[float]:
        """Return the seconds of each call that enqueues a long text; waits for each job."""
        seconds = []
        for _ in range(count):
            call_seconds, handle = await self._timed("enqueue", "big", time.time_ns(), "x" * size)
            await self._call("wait", handle)
            seconds.append(call_seconds)
        return seconds

    async def coordinate(self, *, stage: str, sizes: dict[str, int]) -> float:
        """Return the seconds that a stage of `coordination.py` took to enqueue its jobs."""
        seconds, _ = await self._timed(stage, **sizes)
        return seconds

    async def _timed(self, name: str, *arguments: Any, **options: Any) -> tuple[float, Any]:
        if name == "enqueue" and len(arguments) == 2:
            arguments = (*arguments, "")
        call = getattr(self._module, name)
        started = time.perf_counter_ns()
        answer = call(*arguments, **options)
        if inspect.iscoroutine(answer):
            answer = await answer
        return (time.perf_counter_ns() - started) / NANOSECONDS, answer


async def serve(client: Client) -> None:
    """Answer requests until standard input is closed."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = await getattr(client, request.pop("method"))(**request)
        print(json.dumps(answer), flush=True)


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends, so that sync modules run without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("A sync module awaited something that is not ready.")


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    server = serve(Client(module))
    if inspect.iscoroutinefunction(module.open):
        asyncio.run(server)
    else:
        drive(server)


if __name__ == "__main__":
    main()
