"""A notifier that records sent hints, and delivers hints that a test sets."""

from __future__ import annotations

from offload.notifier import Hint, Listener, Notifier


class FakeListener(Listener):
    """Delivers the hints in `arrived` with each call of `receive`."""

    check_interval = poll_interval = 15.0
    repoll_delay = 0.015

    def __init__(self) -> None:
        self.arrived: set[Hint] = set()

    def fileno(self) -> None:
        return None

    def receive(self) -> set[Hint]:
        return self.arrived

    def close(self) -> None: ...


class FakeNotifier(Notifier):
    """Records hints in `sent`; its one listener is `listener`."""

    def __init__(self) -> None:
        self.sent: list[Hint] = []
        self.listener = FakeListener()

    def notify(self, hint: Hint) -> None:
        self.sent.append(hint)

    def listen(self, *hints: Hint) -> Listener:  # `arrived` is not filtered
        return self.listener
