"""A cancelled `receive` is not cancelled on the server's side."""

from __future__ import annotations

import asyncio

from offload.streams.kept_receive import KeptReceive
from offload.streams.sse import Event


class Connection:
    """The server's side: a request without a body, and then what the test puts into `events`."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.events.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.is_cancelled = False

    async def receive(self) -> Event:
        try:
            return await self.events.get()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def cancel_while_waiting(receive: KeptReceive) -> None:
    listener = asyncio.create_task(receive())
    await asyncio.sleep(0)
    listener.cancel()
    await asyncio.wait([listener])
    assert listener.cancelled()


def test_a_cancelled_call_leaves_the_event_to_the_next_one():
    async def run() -> None:
        connection = Connection()
        receive = KeptReceive(connection.receive)
        assert (await receive())["type"] == "http.request"

        for _ in range(2):
            await cancel_while_waiting(receive)
        assert not connection.is_cancelled

        connection.events.put_nowait({"type": "http.disconnect"})
        assert (await receive())["type"] == "http.disconnect"

    asyncio.run(run())


def test_the_call_that_is_left_ends_with_the_connection():
    async def run() -> None:
        connection = Connection()
        receive = KeptReceive(connection.receive)
        await receive()
        await cancel_while_waiting(receive)

        receive.close()
        await asyncio.sleep(0)

        assert connection.is_cancelled

    asyncio.run(run())
