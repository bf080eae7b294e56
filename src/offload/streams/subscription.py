"""Subscriptions to jobs, which the view hands over to the server that streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from offload.live.access import Grants
    from offload.live.connection_limits import CountedConnection
    from offload.streams.snapshots import RenderContext, RenderedSnapshot


@dataclass(slots=True, eq=False, kw_only=True)
class Subscription:
    """The jobs of a stream, as the view has authorized them.

    Attributes:
        jobs: the state of each job when it was authorized, and the client's grants.
        known: the versions that the client already has.
        missing: requested ids of jobs that do not exist or that the client may not see.
        context: language and URLs of the request.
        session_key: session that made the request; None without one.
        connection: counts it against the limits; None if it is not counted.
    """

    jobs: Mapping[UUID, tuple[RenderedSnapshot, Grants]]
    known: Mapping[UUID, int] = field(default_factory=dict)
    missing: Sequence[str] = ()
    context: RenderContext
    session_key: str | None = None
    connection: CountedConnection | None = None

    def clear(self) -> None:
        """Free the memory of the states, which have been sent, while the stream stays open."""
        self.jobs = {}
        self.known = {}
        self.missing = ()

    def close(self) -> None:
        """Stop counting the connection."""
        if self.connection is not None:
            self.connection.close()
