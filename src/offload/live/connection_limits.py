"""Limits on the streams and held requests of one process: per client and address, and in total."""

from __future__ import annotations

import random
import threading
from collections import Counter
from functools import cache
from queue import SimpleQueue
from typing import NamedTuple

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.live import problems
from offload.live.jobs import backend_options

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 5, 15
"""A refused client retries after a random time between these; all at once would overload."""
VISITORS_DIVISOR = 2
"""Clients that are not signed in may together have one half of all connections."""
ADDRESS_DIVISOR = 4
"""Those of one address may have a quarter: a whole office may share the address of its proxy."""

type Share = tuple[str, ...]
"""What a limit is for, such as ("address", "192.0.2.1") or ("all",)."""


class Client(NamedTuple):
    """Who opens a connection.

    Attributes:
        name: under which its connections are counted; "" for a client without one.
        address: of the client, or of the network that it can choose its address from.
    """

    name: str
    address: str = ""

    @property
    def is_visitor(self) -> bool:
        """Whether it is not signed in. Anybody can get any number of sessions."""
        return not self.name.startswith("user")


class CountedConnection:
    """A connection that counts until it is closed or deleted."""

    __slots__ = ("_released", "_shares")

    def __init__(self, shares: list[Share], released: SimpleQueue[list[Share]]) -> None:
        self._shares = shares
        self._released = released

    def close(self) -> None:
        """Stop counting it.

        This takes no lock: the garbage collector may call it at any moment, even while the same
        thread is in `acquire`.
        """
        shares, self._shares = self._shares, []
        if shares:
            self._released.put(shares)

    def __del__(self) -> None:
        self.close()  # a cancelled request deletes it without closing it


class ConnectionLimits:
    """The open connections of a process.

    Args:
        per_client: maximum number of connections of one client with a name.
        total: maximum number of connections of all clients together.
    """

    def __init__(self, per_client: int, total: int) -> None:
        self._per_client = per_client
        self._total = total
        self._visitors = max(1, total // VISITORS_DIVISOR)
        self._per_address = max(1, total // ADDRESS_DIVISOR)
        self._open: Counter[Share] = Counter()
        self._released: SimpleQueue[list[Share]] = SimpleQueue()
        self._lock = threading.Lock()

    def acquire(self, client: Client) -> CountedConnection:
        """Count one more connection.

        Raises:
            Problem: 429 if the client or its address has too many connections, 503 if the process
                has.
        """
        with self._lock:
            self._subtract_released()
            limits = self._limits(client)
            for share, limit in limits.items():
                if self._open[share] >= limit:
                    is_own = len(share) > 1  # with the name or address of the client
                    refuse = problems.too_many_streams if is_own else problems.busy
                    raise refuse(_retry_seconds())
            self._open.update(limits.keys())
            return CountedConnection(list(limits), self._released)

    def _limits(self, client: Client) -> dict[Share, int]:
        """Return the limits of all shares to which a client's connection counts."""
        limits: dict[Share, int] = {}
        if client.name:
            limits["client", client.name] = self._per_client
        if client.is_visitor:
            limits["address", client.address] = self._per_address
            limits["visitors",] = self._visitors
        limits["all",] = self._total
        return limits

    def _subtract_released(self) -> None:
        while not self._released.empty():
            shares = self._released.get()
            self._open.subtract(shares)
            for share in shares:
                if self._open[share] <= 0:
                    del self._open[share]


@cache
def get_connection_limits() -> ConnectionLimits:
    """Return the limits of this process, from the options of the default backend."""
    options = backend_options(DEFAULT_TASK_BACKEND_ALIAS)
    return ConnectionLimits(options.max_streams_per_user, options.max_streams)


def _retry_seconds() -> int:
    return random.randint(MIN_RETRY_SECONDS, MAX_RETRY_SECONDS)  # noqa: S311  # spreads clients
