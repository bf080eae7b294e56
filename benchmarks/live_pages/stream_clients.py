"""Hundreds of clients with an open stream each, in one thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Self

from load.worker import PAUSE

MAX_OPENING = 20
"""Streams that are being opened at the same time."""
RETRY_SECONDS = 1.0
"""Delay before a client reconnects after a refusal or a shutdown of the server."""
DATA, CLOSE, SHUTDOWN = b"data:", b"event: close", b'"shutdown"'


class StreamClients:
    """Clients that reconnect when their stream closes, as pages do.

    Args:
        port: port of the server on this host.
        paths: the path of each client's stream.

    Attributes:
        open: number of clients whose stream has sent its first event.
        events: number of events that all clients have received.
        closed: indexes of the clients that have received a close event.
    """

    def __init__(self, port: int, paths: Iterable[str]) -> None:
        self._port = port
        self._paths = list(paths)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.open = self.events = 0
        self.closed: set[int] = set()

    def __enter__(self) -> Self:
        self._opening = asyncio.Semaphore(MAX_OPENING)
        self._clients = self._loop.create_task(self._run_clients())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._clients.cancel)
        self._thread.join()

    def wait_until_open(self, timeout: float) -> int:
        """Wait until all streams are open, or for `timeout` seconds; return how many are open."""
        deadline = time.monotonic() + timeout
        while self.open < len(self._paths) and time.monotonic() < deadline:
            PAUSE.wait(0.1)
        return self.open

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._clients)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _run_clients(self) -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(len(self._paths)):
                group.create_task(self._run_client(index))

    async def _run_client(self, index: int) -> None:
        while True:
            try:
                await self._read_stream(index)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _read_stream(self, index: int) -> None:
        """Read one stream until it closes."""
        writer = None
        is_open = False
        try:
            async with self._opening:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(_request(self._paths[index]))
                await reader.readuntil(DATA)
            is_open = True
            self.open += 1
            async for line in reader:
                if line.startswith(DATA):
                    self.events += 1
                if line.startswith(CLOSE):
                    self.closed.add(index)
                if SHUTDOWN in line:
                    raise ConnectionAbortedError
        finally:
            if is_open:
                self.open -= 1
            if writer is not None:
                writer.close()


def _request(path: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    lines += ["Connection: close", "", ""]  # closes the connection after a refusal, too
    return "\r\n".join(lines).encode()
