"""Subscriptions to jobs, and their handoff from the view to the server that streams."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from offload.live.connection_limits import get_connection_limits

if TYPE_CHECKING:
    from uuid import UUID

    from offload.live.access import Grants
    from offload.streams.snapshots import RenderContext, RenderedSnapshot

STREAM_HEADER = "X-Offload-Stream"
"""Header that marks the response to replace with the stream. It is never sent to the client."""
HANDOFF_KEY = "offload.handoff"
"""Key of the `Handoff` in the ASGI scope."""


@dataclass(slots=True, eq=False, kw_only=True)
class Subscription:
    """The jobs of a stream, as the view has authorized them.

    Attributes:
        jobs: the state of each job when it was authorized, and the client's grants.
        known: the versions that the client already has.
        missing: requested ids of jobs that do not exist or that the client may not see.
        context: language and URLs of the request.
        session_key: session that made the request; None without one.
        holder: name of the client whose connections this one counts among; None if it is not
            counted.
    """

    jobs: Mapping[UUID, tuple[RenderedSnapshot, Grants]]
    known: Mapping[UUID, int] = field(default_factory=dict)
    missing: Sequence[str] = ()
    context: RenderContext
    session_key: str | None = None
    holder: str | None = None

    def clear(self) -> None:
        """Free the memory of the states, which have been sent, while the stream stays open."""
        self.jobs = {}
        self.known = {}
        self.missing = ()

    def close(self) -> None:
        """Stop counting the connection."""
        holder = self.holder
        self.holder = None
        if holder is not None:
            get_connection_limits().release(holder)

    def __del__(self) -> None:
        self.close()  # a cancelled request deletes its subscription without closing it


class Handoff:
    """A server's offer to stream in place of a view's response.

    The server puts it into the scope. A view that accepts it returns an empty response with
    `STREAM_HEADER`. If middleware replaces that response, nothing is streamed.

    Args:
        counts_connection: whether the view counts the connection against the limits.
    """

    def __init__(self, *, counts_connection: bool = True) -> None:
        self.counts_connection = counts_connection
        self.subscription: Subscription | None = None
        self._response_id = ""

    def accept(self, subscription: Subscription) -> str:
        """Hand over a subscription; return the value of `STREAM_HEADER` for the response."""
        self.close()
        self.subscription = subscription
        self._response_id = secrets.token_hex(8)
        return self._response_id

    def matches(self, response_start: Mapping[str, Any]) -> bool:
        """Return whether an `http.response.start` message starts the response to replace."""
        if self.subscription is None or response_start["status"] != HTTPStatus.OK:
            return False
        expected = (STREAM_HEADER.lower().encode(), self._response_id.encode())
        headers = response_start.get("headers", ())
        return any((name.lower(), value) == expected for name, value in headers)

    def close(self) -> None:
        """Close the subscription, if there is one."""
        if self.subscription is not None:
            self.subscription.close()
