"""A client of server-sent events."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from tests.worker.conftest import until

READ_TIMEOUT_SECONDS = 20.0
"""A reader fails after this time without a byte."""


class Event(NamedTuple):
    name: str
    id: str
    data: Any


class StreamReader:
    """One open stream.

    Args:
        port: of the server on this host.
        ids: of the jobs.
        headers: of the request.
        query: appended to the URL, after the ids.
    """

    def __init__(
        self,
        port: int,
        ids: Iterable[str],
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=READ_TIMEOUT_SECONDS
        )
        path = f"/tasks/events/?ids={','.join(ids)}{query}"
        self._connection.request(
            "GET", path, headers={"Accept": "text/event-stream", **(headers or {})}
        )
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.pings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    @classmethod
    def when_admitted(cls, *arguments: Any) -> Self:
        """Open a stream as soon as the server's limits allow it."""

        def attempt() -> Self | None:
            reader = cls(*arguments)
            if reader.status == 200:
                return reader
            reader.close()
            return None

        reader: Self = until(attempt)
        return reader

    def expect(self, name: str) -> Event:
        """Return the next event, which must have this name."""
        event = self.next()
        assert event is not None
        assert event.name == name
        return event

    def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        for line in iter(self.response.readline, b""):
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                self.pings += 1
            elif text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
        return None

    def remaining(self) -> list[Event]:
        """Return all events until the end of the stream."""
        return list(iter(self.next, None))
