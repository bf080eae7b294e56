"""The handoff of a request from its view to the server around Django."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

HANDOFF_KEY = "offload.handoff"
"""Key of the `Handoff` in the ASGI scope."""
HANDOFF_HEADER = "X-Offload-Handoff"
"""Header that marks the response to replace. It is never sent to the client."""


class HandedOver(Protocol):
    """What a view hands over: a subscription, or a held request."""

    def close(self) -> None:
        """Stop counting its connection."""


class Handoff:
    """A server's offer to respond in place of a view, without Django's thread for the request.

    The server puts it into the scope. A view that accepts it returns an empty response with
    `HANDOFF_HEADER`. If middleware replaces that response, nothing is handed over.

    Args:
        counts_connection: whether the view counts the connection against the limits.
    """

    def __init__(self, *, counts_connection: bool = True) -> None:
        self.counts_connection = counts_connection
        self.accepted: HandedOver | None = None
        self._status: int = HTTPStatus.OK
        self._response_id = ""

    def accept(self, accepted: HandedOver, status: int = HTTPStatus.OK) -> str:
        """Hand over a request; return the value of `HANDOFF_HEADER` for the response.

        Args:
            accepted: what the server needs to respond.
            status: of the response with the header.
        """
        self.close()
        self.accepted = accepted
        self._status = status
        self._response_id = secrets.token_hex(8)
        return self._response_id

    def matches(self, response_start: Mapping[str, Any]) -> bool:
        """Return whether an `http.response.start` message starts the response to replace."""
        if self.accepted is None or response_start["status"] != self._status:
            return False
        expected = (HANDOFF_HEADER.lower().encode(), self._response_id.encode())
        headers = response_start.get("headers", ())
        return any((name.lower(), value) == expected for name, value in headers)

    def close(self) -> None:
        """Close what was handed over, if anything was."""
        if self.accepted is not None:
            self.accepted.close()
