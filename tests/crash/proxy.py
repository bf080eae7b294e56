"""A proxy in front of a database server that cuts a connection at a chosen statement."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from enum import Enum


class Moment(Enum):
    """When a connection is cut."""

    BEFORE = "before the statement reaches the server"
    AFTER = "after the server has answered; the client never receives the answer"


class Proxy:
    """A proxy on a free loopback port, in its own thread.

    Args:
        host: host of the server.
        port: port of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._loop = asyncio.new_event_loop()
        self._end = self._after = b""
        self._times_armed = 0
        self._countdown = 0
        self._moment = Moment.BEFORE
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        self._started.wait()

    def arm(self, count: int, moment: Moment, end: bytes = b"", after: bytes = b"") -> None:
        """Cut the connection at the `count`-th statement from now on that ends with `end`.

        Args:
            count: number of the statement, starting with 1.
            moment: whether to cut before or after the statement.
            end: last bytes of the statements that are counted, in upper case.
            after: count only statements that follow this text on the same connection.
        """
        self._end, self._after, self._moment = end, after, moment
        self._times_armed += 1
        self._countdown = count

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection(*self._server)
            try:
                await Connection(self, reader, writer, server_reader, server_writer).run()
            finally:
                server_writer.transport.abort()
                writer.transport.abort()

    def should_cut(self, statement: bytes, connection: Connection) -> bool:
        """Count the statement; return whether to cut the connection at it."""
        if not self._countdown:
            return False
        if self._after and connection.counts_for != self._times_armed:
            if self._after in statement.upper():
                connection.counts_for = self._times_armed
            return False
        if not statement.upper().rstrip(b"\0").endswith(self._end):
            return False
        self._countdown -= 1
        if self._countdown:
            return False
        self.cuts += 1
        return True

    @property
    def moment(self) -> Moment:
        return self._moment


class Connection:
    """One client's connection and its connection to the server."""

    def __init__(
        self,
        proxy: Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = reader, writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._is_cut = False
        self.counts_for = 0
        """For which call of `Proxy.arm`, by number, this connection has sent the text `after`."""

    async def run(self) -> None:
        """Forward data in both directions until either side closes or the proxy cuts."""
        sides = [
            asyncio.ensure_future(self._forward_requests()),
            asyncio.ensure_future(self._forward_answers()),
        ]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)

    async def _forward_requests(self) -> None:
        while data := await self._client_reader.read(1 << 20):
            if self._proxy.should_cut(data, self):
                if self._proxy.moment is Moment.BEFORE:
                    return
                self._is_cut = True
            self._server_writer.write(data)
            await self._server_writer.drain()

    async def _forward_answers(self) -> None:
        while data := await self._server_reader.read(1 << 20):
            if self._is_cut:
                return
            self._client_writer.write(data)
            await self._client_writer.drain()
