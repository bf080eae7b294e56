"""The code of the jobs of all contenders, the same in each environment."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import time
from collections.abc import Awaitable, Callable

MILLISECOND = 0.001
_file: list[int] = []


def record_start(sent: int) -> None:
    """Append the times of the enqueue call and of now: 16 bytes, about 2 microseconds."""
    os.write(_log(), struct.pack("<qq", sent, time.time_ns()))


def record_run(number: int, key: int, started: int) -> None:
    """Append a job's number, its key, its start and now: 32 bytes."""
    os.write(_log(), struct.pack("<qqqq", number, key, started, time.time_ns()))


def work(kind: str, query: Callable[[], object]) -> None:
    """Run one of the mixed jobs in a thread."""
    if kind == "nap 1":
        threading.Event().wait(MILLISECOND)
    elif kind == "nap 20":
        threading.Event().wait(20 * MILLISECOND)
    elif kind == "spin 1":
        spin()
    else:
        query()


async def awork(kind: str, query: Callable[[], Awaitable[object]]) -> None:
    """Run one of the mixed jobs on an event loop."""
    if kind == "nap 1":
        await asyncio.sleep(MILLISECOND)
    elif kind == "nap 20":
        await asyncio.sleep(20 * MILLISECOND)
    elif kind == "spin 1":
        spin()
    else:
        await query()


def spin() -> None:
    """Use a millisecond of CPU time."""
    end = time.thread_time() + MILLISECOND
    while time.thread_time() < end:
        pass


def _log() -> int:
    if not _file:
        _file.append(os.open(os.environ["BENCH_START_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    return _file[0]
