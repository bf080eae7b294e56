"""Steps of the notifiers' tests."""

from __future__ import annotations

import select

from offload.notifier import Hint, Listener
from offload.notifier.unix_sockets import UnixSocketNotifier


def wait(listener: Listener, seconds: float = 10) -> set[Hint]:
    """Wait for a hint without polling."""
    descriptor = listener.fileno()
    assert descriptor is not None
    select.select([descriptor], [], [], seconds)
    return listener.receive()


def close_sender(notifier: UnixSocketNotifier) -> None:
    """Close the socket that a notifier sends from; otherwise it lives as long as the process."""
    if notifier._sender is not None:
        notifier._sender[1].close()
