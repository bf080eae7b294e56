"""A crowd: hundreds of open streams, read by one thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Self

from load.engine import PAUSE

AT_ONCE = 20
"""Streams that are opened at the same time."""
RETRY = 1.0
"""Seconds after which a reader comes back who was turned away, or told that the server stops."""
DATA, END, SHUTDOWN = b"data:", b"event: close", b'"shutdown"'


class Crowd:
    """Readers who come back when their stream ends, as pages do.

    Args:
        port: of the server on this host.
        paths: one for each reader.

    Attributes:
        inside: readers who have a stream and its first event.
        events: that all have read.
        told: readers who were told at least once that their stream ends.
    """

    def __init__(self, port: int, paths: Iterable[str]) -> None:
        self._port = port
        self._paths = list(paths)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.inside = self.events = 0
        self.told: set[int] = set()

    def __enter__(self) -> Self:
        self._door = asyncio.Semaphore(AT_ONCE)
        self._all = self._loop.create_task(self._read_all())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._all.cancel)
        self._thread.join()

    def gather(self, limit: float) -> int:
        """Wait until all are inside, or for so many seconds; return how many are."""
        until = time.monotonic() + limit
        while self.inside < len(self._paths) and time.monotonic() < until:
            PAUSE.wait(0.1)
        return self.inside

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._all)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _read_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._paths)):
                group.create_task(self._come_again(number))

    async def _come_again(self, number: int) -> None:
        while True:
            try:
                await self._read(number)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(RETRY)

    async def _read(self, number: int) -> None:
        """Read one stream to its end."""
        writer = None
        is_inside = False
        try:
            async with self._door:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(_request(self._paths[number]))
                await reader.readuntil(DATA)
            is_inside = True
            self.inside += 1
            async for line in reader:
                self.events += line.startswith(DATA)
                if line.startswith(END):
                    self.told.add(number)
                if SHUTDOWN in line:
                    raise ConnectionAbortedError
        finally:
            self.inside -= is_inside
            if writer is not None:
                writer.close()


def _request(path: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    lines += ["Connection: close", "", ""]  # so that a refusal ends, too
    return "\r\n".join(lines).encode()
