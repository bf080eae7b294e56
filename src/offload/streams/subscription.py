"""An order: which jobs a page may follow, as the view found out that checked its rights."""

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
    from offload.streams.snapshots import RenderedSnapshot, Wording

MARK = "X-Offload-Stream"
"""Header of the response in whose place the stream is sent; it never leaves the server."""
OFFER = "offload.live"
"""Key in the ASGI scope: who can stream beside Django says so there."""


@dataclass(slots=True, eq=False, kw_only=True)
class Subscription:
    """Attributes:
    jobs: what the page may follow, as it was read, and what the page may do with it.
    known: versions that the page has already.
    missing: ids that it asked for, and that do not exist or are not its own.
    wording: of the request.
    session: key of the session in which it was made; None without one.
    holder: who has a seat for it; None if no seat was taken.
    """

    jobs: Mapping[UUID, tuple[RenderedSnapshot, Grants]]
    known: Mapping[UUID, int] = field(default_factory=dict)
    missing: Sequence[str] = ()
    wording: Wording
    session: str | None = None
    holder: str | None = None

    def forget(self) -> None:
        """Drop what was told: an order lives as long as its stream, for the seat."""
        self.jobs, self.known, self.missing = {}, {}, ()

    def close(self) -> None:
        """Free its seat."""
        holder, self.holder = self.holder, None
        if holder is not None:
            get_connection_limits().release(holder)

    def __del__(self) -> None:
        self.close()  # a request that was cancelled drops it, and nobody else knows it


class Handoff:
    """What a server of streams puts into the scope, and a view may take up.

    Args:
        seat: whether the view takes a seat for the order.
    """

    def __init__(self, *, seat: bool = True) -> None:
        self.seat = seat
        self.order: Subscription | None = None
        self._mark = ""

    def take(self, order: Subscription) -> str:
        """Have an order streamed in place of a response; return the value of its header MARK."""
        self.close()
        self.order, self._mark = order, secrets.token_hex(8)
        return self._mark

    def claims(self, start: Mapping[str, Any]) -> bool:
        """Tell whether `http.response.start` begins the response in whose place we stream."""
        if self.order is None or start["status"] != HTTPStatus.OK:
            return False
        wanted = (MARK.lower().encode(), self._mark.encode())
        return any((name.lower(), value) == wanted for name, value in start.get("headers", ()))

    def close(self) -> None:
        """Free what an order holds."""
        if self.order is not None:
            self.order.close()
